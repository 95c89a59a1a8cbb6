import { Hono } from "hono";
import { events, type Range } from "turnpike/events";

export { Events } from "turnpike/events";

const app = new Hono();
app.get("/:endpoint", (c) => {
  const customer = c.req.header("X-Customer") ?? "none";
  events().count("api", { customer, endpoint: c.req.param("endpoint") });
  return c.text("Hello");
});
/** Calls by customer; `billOf({ from: "2026-11-01", to: "2026-12-01" })` at the month's end. */
export const billOf = (month: Range) => events().top("api", ["customer"], 10_000, month);

export default app;
