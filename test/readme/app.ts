import { Hono } from "hono";
import { rateLimit } from "turnpike";

export { Membership, RateLimiter } from "turnpike";

const app = new Hono();
app.use(rateLimit({ limit: 600, window: "1m" }));
app.get("*", (c) => c.text("Hello"));

export default app;
