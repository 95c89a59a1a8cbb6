import { type Context, Hono } from "hono";
import { addressKey, rateLimit } from "turnpike";

export { Membership, RateLimiter } from "turnpike";

const app = new Hono();
app.use(rateLimit({ limit: 600, window: "1m" }));
// A quota for each customer's plan. Unknown keys are counted by address, so inventing them gains nothing.
const PLANS = new Map([["key-of-a-good-customer", 5_000]]);
const customerOf = (c: Context) => c.req.header("X-Api-Key") ?? "";
const limit = (c: Context) => PLANS.get(customerOf(c)) ?? 100;
const key = (c: Context) => (PLANS.has(customerOf(c)) ? customerOf(c) : addressKey(c));
app.use("/api/*", rateLimit({ name: "plan", key, limit, window: "1h" }));

app.get("*", (c) => c.text("Hello"));

export default app;
