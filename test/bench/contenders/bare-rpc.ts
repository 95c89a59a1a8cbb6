/** One RPC a request to one of four objects, with nothing around it: the naive limit. */
import { DurableObject, env } from "cloudflare:workers";
import { Hono } from "hono";
import { counts } from "./settings.ts";

const OBJECTS = 4;

export class RateLimiter extends DurableObject {
  #total = 0;

  increment(): number {
    counts.rpcs++;
    counts.checks++;
    return ++this.#total;
  }
}

const objects = env.TURNPIKE_OWNERS as unknown as DurableObjectNamespace<RateLimiter>;
let next = 0;

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.get("/", async (c) => {
  next = (next + 1) % OBJECTS;
  await objects.getByName(String(next)).increment();
  return c.text("Hello");
});

export default app;
