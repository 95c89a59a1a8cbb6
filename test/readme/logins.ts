import { limiter } from "turnpike";

const logins = limiter({ name: "logins", limit: 5, window: "15m" });

export async function mayLogIn(user: string): Promise<boolean> {
  const { allowed } = await logins.check(user);
  return allowed;
}
