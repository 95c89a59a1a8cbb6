import { limiter } from "turnpike";

const logins = limiter({ name: "logins", limit: 5, window: "15m" });

export const mayLogIn = async (user: string) => (await logins.check(user, { cost: 1 })).allowed;
