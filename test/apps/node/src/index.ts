/** An app whose own tests import it in Node, with no Worker around. */
import { Hono } from "hono";
import { addressKey, limiter, MisuseError, rateLimit } from "turnpike";
import { cache, cacheApi, cached } from "turnpike/cache";
import { events } from "turnpike/events";

export { Membership, RateLimiter } from "turnpike";
export { Cache } from "turnpike/cache";
export { Events } from "turnpike/events";

const logins = limiter({ name: "logins", limit: 5, window: "15m" });

const app = new Hono();
app.get("/health", (c) => c.text("well"));
app.get("/rate", cached({ ttl: "5s" }), async (c) => {
  events().count("api", { endpoint: "rate" });
  return c.text(await cache().getOrCompute("rate", { ttl: "5s" }, () => "1.08"));
});
app.route("/cache", cacheApi());
app.use("/api/*", rateLimit({ limit: 10, window: "1m", key: addressKey }));
app.get("/api/time", (c) => c.text("noon"));
app.post("/login", async (c) => c.json((await logins.check("ada")).allowed));
app.onError((error, c) => c.text(error.message, error instanceof MisuseError ? 400 : 500));

export default app;
