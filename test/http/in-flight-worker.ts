/**
 * An app whose handlers end in every way, for the tests of what happens to requests in flight. Its
 * objects can be told to take their time.
 */
import { Hono } from "hono";
import { compress } from "hono/compress";
import { etag } from "hono/etag";
import { streamSSE } from "hono/streaming";
import { timeout } from "hono/timeout";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { RateLimiter as Limiter, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

export { Membership } from "../../src/index.ts";

/**
 * How long a handler has nothing to send, longer than any client waits. It waits for something that
 * the runtime knows of, since the runtime ends a request that waits for nothing.
 */
const IDLE_MS = 600_000;
/** How long an owner takes to answer a check. */
let ownerMs = 0;
/** Requests whose handler was reached, by path. */
const reached: Record<string, number> = {};
/** Handlers that run, and the most that ran at once, by path. */
const running: Record<string, number> = {};
const most: Record<string, number> = {};

export class RateLimiter extends Limiter {
  override async check(...args: Parameters<Limiter["check"]>) {
    if (ownerMs > 0) await scheduler.wait(ownerMs);
    return super.check(...args);
  }
}

const slots = { algorithm: "concurrency", limit: 1_000, window: "1h" } as const;
/** Each client has a quota of its own, and all share one. */
const shared = { name: "shared", limit: 1_000_000, window: "1d" } as const;
const own = { name: "own", limit: 3, window: "1d", key: ["header:X-Client"] };
const everybody = () => "everybody";
const explained = [{ ...slots, name: "slots" }, shared].map((policy) => parsePolicy(policy));

const app = new Hono();

app.get("/control/:what", async (c) => {
  const { ms, path = "" } = c.req.query();
  const what = c.req.param("what");
  if (what === "owner") ownerMs = Number(ms);
  if (what === "reached") return c.json(reached[path] ?? 0);
  if (what === "most") return c.json(most[path] ?? 0);
  const policy = explained.find(({ name }) => name === what);
  if (!policy) return c.text("ok");
  const question = { key: [everybody()], policies: [policy], region: "weur" as const };
  return c.json((await isolateCaller().explain([question]))[0]);
});

app.onError((error, c) => c.text(error.message, 500));

app.use("/replaced/*", async (c, next) => {
  await next();
  c.res = new Response("another");
});
app.use("/tagged/*", etag());
app.use("/timed/*", timeout(30));
app.use("/zipped/*", compress());
app.use("/limit-2/*", rateLimit({ ...slots, name: "two", limit: 2, window: "3s" }));
for (const path of ["/slots/*", "/replaced/*", "/tagged/*", "/timed/*", "/zipped/*"]) {
  app.use(path, rateLimit({ ...slots, name: "slots", key: everybody }));
}
app.use("/shared/*", rateLimit({ ...shared, key: everybody }, own));
app.use(
  "/queued/*",
  rateLimit(
    { name: "queue", algorithm: "leaky-bucket", limit: 1, window: "1s", burst: 50, key: ["host"] },
    { ...shared, key: everybody },
  ),
);
app.use(async ({ req: { path } }, next) => {
  const count = (running[path] ?? 0) + 1;
  reached[path] = (reached[path] ?? 0) + 1;
  most[path] = Math.max(most[path] ?? 0, count);
  running[path] = count;
  try {
    await next();
  } finally {
    running[path]--;
  }
});

const refusal = { redirect: "/elsewhere" };
app.use("/away/*", rateLimit({ name: "away", limit: 0, window: "1m", key: everybody, refusal }));
app.use(rateLimit({ name: "once", limit: 1, window: "1d", path: "/once/*", key: everybody }));
app.all("/:policy/at-once", (c) => c.text("at once"));
app.all("/:policy/slow", async (c) => {
  await scheduler.wait(200);
  return c.text("slow");
});
app.all("/:policy/nothing", async () => {
  await scheduler.wait(50);
  return new Response(null, { status: 204 });
});
app.all("/:policy/throw", async () => {
  await scheduler.wait(50);
  throw new Error("handler");
});
app.all("/:policy/throw-text", async () => {
  await scheduler.wait(50);
  throw "text";
});
app.all("/:policy/fetched", (c) => {
  const encodeResponseBody = c.req.query("raw") ? "manual" : "automatic";
  return fetch(c.req.query("from") ?? "", { encodeResponseBody });
});
app.all("/:policy/drip", () => new Response(drip("drip ")));
app.all("/:policy/events", (c) => {
  return c.body(drip("data: event\n\n"), 200, { "Content-Type": "text/event-stream" });
});
app.all("/:policy/idle-events", (c) =>
  streamSSE(c, async (stream) => {
    await stream.writeSSE({ data: "event" });
    await stream.sleep(IDLE_MS);
  }),
);
app.all("/:policy/silent", () => {
  return new Response(new ReadableStream({ pull: () => scheduler.wait(IDLE_MS) }));
});
app.all("/:policy/idle-transform", (c) => {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  writer.write(new TextEncoder().encode("first"));
  c.executionCtx.waitUntil(scheduler.wait(IDLE_MS).then(() => writer.close()));
  return new Response(readable);
});
app.all("/:policy/large", () => new Response(new Uint8Array(16_000_000)));
app.all("/:policy/hang", async (c) => {
  await scheduler.wait(8_000);
  return c.text("late");
});
app.all("/:policy/socket", () => {
  const { 0: client, 1: server } = new WebSocketPair();
  server.addEventListener("message", ({ data }) => {
    if (data === "bye") server.close(4_001, "bye");
    else server.send(data);
  });
  server.accept();
  return new Response(null, { status: 101, webSocket: client });
});

function drip(text: string): ReadableStream {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    async pull(controller) {
      await scheduler.wait(50);
      controller.enqueue(bytes);
    },
  });
}

export default app;
