/** The npm package `hono-rate-limiter` with the Durable Object store that comes for it. */
import { env } from "cloudflare:workers";
import { DurableObjectRateLimiter, DurableObjectStore } from "@hono-rate-limiter/cloudflare";
import { Hono } from "hono";
import { rateLimiter } from "hono-rate-limiter";
import { counts, limit, windowSeconds } from "./settings.ts";

export class RateLimiter extends DurableObjectRateLimiter {
  override update(hits: number, windowMs: number) {
    counts.rpcs++;
    counts.checks++;
    return super.update(hits, windowMs);
  }
}

const namespace = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.use(
  rateLimiter({
    limit,
    windowMs: windowSeconds * 1_000,
    keyGenerator: (c) => c.req.header("CF-Connecting-IP") ?? "unknown",
    store: new DurableObjectStore({ namespace }),
  }),
);
app.get("/", (c) => c.text("Hello"));

export default app;
