import { type Context, Hono } from "hono";
import { rateLimit } from "turnpike";

export { Membership, RateLimiter } from "turnpike";

const app = new Hono();
app.use(rateLimit({ limit: 600, window: "1m" }));
// A limit that depends on the customer's plan.
const PLANS = new Map([["key-of-a-good-customer", 5_000]]);
const keyOf = (c: Context) => c.req.header("X-Api-Key") ?? "none";
const limit = (c: Context) => PLANS.get(keyOf(c)) ?? 100;
app.use("/api/*", rateLimit({ name: "plan", key: keyOf, limit, window: "1h" }));

app.get("*", (c) => c.text("Hello"));

export default app;
