import { Hono } from "hono";
import { events } from "turnpike/events";

export { Events } from "turnpike/events";

/** Clients write these values, and `count` throws for one that is longer or not well-formed. */
const cut = (value: string) => value.slice(0, 256).toWellFormed();

const app = new Hono();
app.get("/:endpoint", (c) => {
  const customer = cut(c.req.header("X-Customer") ?? "none");
  events().count("api", { customer, endpoint: cut(c.req.param("endpoint")) });
  return c.text("Hello");
});

export default app;
