/** An app as `npm create cloudflare` makes it for Hono, with a limiter in front. */
import { Hono } from "hono";
import { type RateLimitEnv, rateLimit } from "turnpike";

export { Membership, RateLimiter } from "turnpike";

const app = new Hono<{ Bindings: CloudflareBindings } & RateLimitEnv>();

app.use(rateLimit({ limit: 10, window: "1m", start: "first" }));

app.get("/message", (c) => {
  const left: number | undefined = c.var.decision?.remaining;
  return c.json({ left, source: c.var.decision?.source, exact: c.var.decision?.exact });
});

export default app;
