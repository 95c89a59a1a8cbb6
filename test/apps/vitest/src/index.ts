/** An app that limits wherever a Worker has code: routes, a queue, a cron trigger, an object. */
import { DurableObject } from "cloudflare:workers";
import { Hono } from "hono";
import { addressKey, limiter, type RateLimitEnv, rateLimit } from "turnpike";

export { Membership, RateLimiter } from "turnpike";

declare global {
  namespace Cloudflare {
    interface GlobalProps {
      mainModule: typeof import("./index");
    }
    interface Env {
      ROOMS: DurableObjectNamespace<Room>;
      JOBS: Queue<string>;
    }
  }
}

type Env = Cloudflare.Env;

const jobs = limiter({ name: "jobs", limit: 2, window: "1d" });
const messages = limiter({ name: "messages", limit: 1, window: "1d" });

export class Room extends DurableObject<Env> {
  async say(who: string): Promise<boolean> {
    return (await messages.check(who)).allowed;
  }
}

type AppEnv = { Bindings: Env } & RateLimitEnv;

const admin = new Hono<AppEnv>();
admin.use(rateLimit({ name: "admin", limit: 1, window: "1d" }));
admin.get("/", (c) => c.json(c.var.decision ?? null));

export const app = new Hono<AppEnv>();
app.use(rateLimit({ name: "site", limit: 100, window: "1d", key: addressKey }));
app.route("/admin", admin);
app.get("/report", rateLimit({ name: "report", limit: 1, window: "1d" }), (c) => c.text("report"));
app.get("/room", async (c) => {
  return c.json(await c.env.ROOMS.getByName("hall").say(c.req.query("who") ?? ""));
});
app.get("/jobs", async (c) => c.json((await jobs.peek(c.req.query("id") ?? "")).remaining));
app.get("/", (c) => c.json(c.var.decision?.policy));

export default {
  fetch: app.fetch,
  async queue(batch: MessageBatch<string>) {
    for (const { body } of batch.messages) await jobs.check(body);
  },
  async scheduled() {
    await jobs.check("cron");
  },
} satisfies ExportedHandler<Env, string>;
