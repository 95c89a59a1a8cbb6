/**
 * Handlers of every kind against their verdict, in every order: a denied one sends nothing.
 *
 * RACES=10000 runs as many races.
 */
import type { Context } from "hono";
import { etag } from "hono/etag";
import { expect, inject, it, vi } from "vitest";
import { alongsideApp } from "./alongside-app.ts";

const MOST_MS = 4;
const AT_ONCE = 20;
/** A text in everything that a handler sends. */
const MARK = "of-the-handler";
const headers = { "X-Mark": MARK, "Set-Cookie": MARK };

type Handler = (c: Context, ms: number) => Response | Promise<Response>;

const HANDLERS: Record<string, Handler> = {
  fast: (c) => c.text(MARK, 200, headers),
  slow: async (c, ms) => {
    await scheduler.wait(ms);
    c.header("X-Mark", MARK);
    await scheduler.wait(ms);
    return c.text(MARK, 201, headers);
  },
  streaming: async (_, ms) => {
    await scheduler.wait(ms);
    const chunk = new TextEncoder().encode(MARK);
    return new Response(new ReadableStream({ pull: (to) => to.enqueue(chunk) }), { headers });
  },
  thrown: async (c, ms) => {
    c.header("X-Mark", MARK);
    await scheduler.wait(ms);
    throw new Error(MARK);
  },
  "thrown, no error": async (_, ms) => {
    await scheduler.wait(ms);
    throw MARK;
  },
  aborted: async (c, ms) => {
    await scheduler.wait(ms, { signal: c.req.raw.signal });
    return c.text(MARK, 200, headers);
  },
  upgraded: async (_, ms) => {
    await scheduler.wait(ms);
    const { 0: webSocket, 1: server } = new WebSocketPair();
    server.accept();
    server.send(MARK);
    return new Response(null, { status: 101, webSocket, headers });
  },
};

/** Makes one race, and returns all that is sent. */
async function race(handler: Handler, isBehindTag: boolean): Promise<string> {
  const { app, limiter, owners, send } = alongsideApp({ limit: 1 });
  const delayMs = () => Math.random() * MOST_MS;
  let isDenied = false;
  app.onError((error, c) => c.text(error.message, 500, headers));
  if (isBehindTag) app.use(etag());
  app.use(async (c, next) => {
    await next();
    c.res.headers.set("X-Front", "1");
    if (isBehindTag) await scheduler.wait(delayMs());
  });
  app.use(limiter, async (c, next) => {
    await next();
    if (isDenied) c.res.headers.set("X-Mark", MARK);
  });
  app.get("*", (c) => (isDenied ? handler(c, delayMs()) : c.text("")));
  owners.spend();
  isDenied = true;
  const sent = send();
  if (Math.random() < 0.8) await scheduler.wait(delayMs());
  await owners.answer();
  const response = await sent;
  expect([response.status, response.webSocket]).toEqual([429, null]);
  return JSON.stringify([...response.headers]) + (await response.text());
}

it(`sends nothing of a denied handler in ${inject("races")} races`, async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const kinds = Object.entries(HANDLERS);
  for (let made = 0; made < inject("races"); ) {
    const some = Array.from({ length: AT_ONCE }, () => {
      const [kind, handler] = kinds[made++ % kinds.length] as [string, Handler];
      return race(handler, Math.random() < 0.5).then((text) => [kind, text] as const);
    });
    for (const [kind, text] of await Promise.all(some)) {
      expect(text.includes(MARK), `${kind}: ${text}`).toBe(false);
    }
  }
});
