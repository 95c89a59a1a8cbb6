import { limiter } from "turnpike";

const logins = limiter({ name: "logins", limit: 5, window: "15m" });

export async function mayLogIn(user: string): Promise<boolean> {
  return (await logins.check(user, { cost: 1 })).allowed;
}
