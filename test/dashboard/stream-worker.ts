/** The live page over a reader of large moments, which says how often it was asked. */
import { Hono, type MiddlewareHandler } from "hono";
import { parseConfig } from "../../src/config.ts";
import { livePage } from "../../src/dashboard/live.ts";

let reads = 0;
const authorized: MiddlewareHandler = async (c, next) => {
  c.set("scope", "admin");
  await next();
};
const reader = {
  series: async () => [],
  heaviest: async () => [],
  top: async () => {
    reads++;
    const dimensions = { policy: "x".repeat(MOMENT_BYTES) };
    return { total: 1, other: 0, entries: [{ dimensions, count: 1, error: 0 }] };
  },
};

/** Far more than a socket holds after a few. */
const MOMENT_BYTES = 2_000_000;

const app = new Hono();
app.get("/reads", (c) => c.json(reads));
app.route(
  "/",
  livePage(authorized, parseConfig({}), reader, async () => []),
);

export default app;
