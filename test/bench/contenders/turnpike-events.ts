/** Turnpike as it is measured, and one event counted for each request. */
import { Hono } from "hono";
import { events } from "../../../src/events.ts";
import turnpike from "./turnpike.ts";

export { Events } from "../../../src/events.ts";
export { Membership, RateLimiter } from "./turnpike.ts";

/** As many tuples as a busy API has: customers by endpoints. */
const CUSTOMERS = 500;
const ENDPOINTS = 20;
let requests = 0;

const app = new Hono();
app.use(async (_, next) => {
  const endpoint = `/endpoint-${requests % ENDPOINTS}`;
  events().count("api", { customer: `customer-${requests++ % CUSTOMERS}`, endpoint });
  await next();
});
app.route("/", turnpike);

export default app;
