/** No limiter, but a middleware that writes its two fields: what no limiter can be faster than. */
import { Hono } from "hono";
import { counts } from "./settings.ts";

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.use(async (c, next) => {
  await next();
  c.res.headers.set("RateLimit-Policy", '"default";q=1000000000;w=86400');
  c.res.headers.set("RateLimit", '"default";r=999999999;t=43200');
});
app.get("/", (c) => c.text("Hello"));

export default app;
