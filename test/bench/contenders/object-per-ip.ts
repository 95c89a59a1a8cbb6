/**
 * One object for each address, as in Cloudflare's example: tokens in memory, an alarm that refills
 * them (https://developers.cloudflare.com/durable-objects/examples/build-a-rate-limiter/).
 *
 * As there, an object that is evicted after 10 idle seconds forgets what was spent.
 */
import { DurableObject, env } from "cloudflare:workers";
import { Hono } from "hono";
import { counts, limit, windowSeconds } from "./settings.ts";

export class RateLimiter extends DurableObject {
  #tokens = limit;

  async take(): Promise<boolean> {
    counts.rpcs++;
    counts.checks++;
    await this.#setAlarm();
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }

  override alarm(): void {
    this.#tokens = limit;
  }

  async #setAlarm(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) !== null) return;
    counts.rows++;
    void this.ctx.storage.setAlarm(Date.now() + windowSeconds * 1_000);
  }
}

const objects = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.get("/", async (c) => {
  const address = c.req.header("CF-Connecting-IP") ?? "unknown";
  if (await objects.getByName(address).take()) return c.text("Hello");
  return c.text("Too many requests", 429);
});

export default app;
