import { Hono } from "hono";
import { rateLimit } from "turnpike";
import { cached } from "turnpike/cache";

export { Membership, RateLimiter } from "turnpike";
export { Cache } from "turnpike/cache";

const search = (words: string) => fetch(`https://search.example/?q=${encodeURIComponent(words)}`);

const app = new Hono();
app.get(
  "/search",
  rateLimit({ limit: 100, window: "1m" }),
  cached({ ttl: "5s", staleFor: "1m", tags: ["search"] }),
  (c) => search(c.req.query("q") ?? ""),
);

export default app;
