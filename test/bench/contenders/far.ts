/** A handler that takes 40 ms, behind objects that answer after 30 ms: what each mode adds to it. */
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { RateLimiter as Limiter, rateLimit } from "../../../src/index.ts";
import { counts, limit, windowSeconds } from "./settings.ts";

const HANDLER_MS = 40;
const FAR_MS = 30;

export { Membership } from "../../../src/index.ts";

export class RateLimiter extends Limiter {
  override async check(...args: Parameters<Limiter["check"]>) {
    counts.rpcs++;
    await scheduler.wait(FAR_MS);
    return super.check(...args);
  }

  async increment(): Promise<void> {
    counts.rpcs++;
    await scheduler.wait(FAR_MS);
  }
}

const { MODE, TURNPIKE_OWNERS } = env as unknown as {
  MODE: "none" | "rpc" | "before" | "alongside" | "after";
  TURNPIKE_OWNERS: DurableObjectNamespace<RateLimiter>;
};

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
if (MODE === "rpc") {
  app.use(async (_, next) => {
    await TURNPIKE_OWNERS.getByName("one").increment();
    await next();
  });
} else if (MODE !== "none") {
  app.use(rateLimit({ limit, window: `${windowSeconds}s`, mode: MODE }));
}
app.get("/", async (c) => {
  await scheduler.wait(HANDLER_MS);
  return c.text("Hello");
});

export default app;
