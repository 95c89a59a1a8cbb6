/**
 * An app with handlers that take their time, for the tests of what happens to requests in flight.
 */
import { Hono } from "hono";
import { rateLimit } from "../../src/index.ts";

export { Membership, RateLimiter } from "../../src/index.ts";

let inFlight = 0;
let most = 0;

const app = new Hono();
app.get("/most", (c) => c.json({ inFlight, most }));
app.use(rateLimit({ name: "slots", algorithm: "concurrency", limit: 2, window: "3s" }));
app.use(async (_, next) => {
  most = Math.max(most, ++inFlight);
  try {
    await next();
  } finally {
    inFlight--;
  }
});
app.get("/slow", async (c) => {
  await scheduler.wait(200);
  return c.text("slow");
});
app.get("/throw", async () => {
  await scheduler.wait(50);
  throw new Error("handler");
});
app.get("/drip", (c) => {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async pull(controller) {
      await scheduler.wait(50);
      controller.enqueue(encoder.encode("drip "));
    },
  });
  return c.body(body);
});
app.get("/hang", async (c) => {
  await scheduler.wait(8_000);
  return c.text("late");
});

export default app;
