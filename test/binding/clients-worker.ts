/** An app with three libraries that were written for Cloudflare's rate limiting binding. */
import { type RateLimitBinding, rateLimit } from "@elithrar/workers-hono-rate-limit";
import { createRatelimitMiddleware, RatelimitHandlerPlugin } from "@orpc/experimental-ratelimit";
import { CloudflareRatelimiter } from "@orpc/experimental-ratelimit/cloudflare-ratelimit";
import { os } from "@orpc/server";
import { RPCHandler } from "@orpc/server/fetch";
import { Hono } from "hono";
import { rateLimiter } from "hono-rate-limiter";

interface Env {
  Bindings: { LIMITER: RateLimit };
}

const app = new Hono<Env>();

app.use(
  "/hono-rate-limiter/:key",
  rateLimiter<Env>({
    binding: (c) => c.env.LIMITER,
    keyGenerator: (c) => c.req.param("key") ?? "",
  }),
);
app.use("/elithrar/:key", (c, next) =>
  rateLimit(c.env.LIMITER as RateLimitBinding, () => c.req.param("key"))(c, next),
);
app.get("/:library/:key", (c) => c.text("passed"));

const limited = createRatelimitMiddleware<{ env: Env["Bindings"]; key: string }>({
  limiter: ({ context }) => new CloudflareRatelimiter(context.env.LIMITER),
  key: ({ context }) => context.key,
});
const router = {
  ping: os
    .$context<{ env: Env["Bindings"]; key: string }>()
    .use(limited)
    .handler(() => "passed"),
};
const rpc = new RPCHandler(router, { plugins: [new RatelimitHandlerPlugin()] });
app.post("/orpc/:key/*", async (c) => {
  const key = c.req.param("key");
  const context = { env: c.env, key };
  const { response } = await rpc.handle(c.req.raw, { prefix: `/orpc/${key}`, context });
  return response ?? c.notFound();
});

export default app;
