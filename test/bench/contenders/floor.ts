/** No limiter: what Hono and the runtime can do at all. */
import { Hono } from "hono";
import { counts } from "./settings.ts";

const app = new Hono();
app.get("/stats", (c) => c.json(counts));
app.get("/", (c) => c.text("Hello"));

export default app;
