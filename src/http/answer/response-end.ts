/**
 * Tells when a response has ended, and leaves its bytes, length and headers as they are.
 *
 * The runtime does not say when it has sent a response, so the body passes through a stream of ours.
 * A body that was fetched is decoded as it passes and encoded anew as it is sent, unless `fetch` was
 * told `encodeResponseBody: "manual"`, as the gateway does.
 */
import type { Context } from "hono";
import { isCopyable, replaceResponse } from "./response.ts";
import { relaySocket } from "./socket-relay.ts";

/** The longest pause between two looks at a body that nobody reads; all of them take twice that. */
const MAX_UNREAD_PAUSE_MS = 2_048;

/**
 * What the runtime itself takes for the length of a body, and writes as `Content-Length`. It is
 * there to be inspected in a console, under a symbol; without it bodies are sent in chunks.
 */
const LENGTH = Object.getOwnPropertySymbols(ReadableStream.prototype).find(
  ({ description }) => description === "length",
);

/**
 * Watches the response in `c.res`, which it replaces by one that is alike.
 *
 * A response with a status that code cannot make (see `isCopyable`) has ended at once: its body
 * passes unseen.
 *
 * @param isRaw whether encoded bodies pass as they are
 * @returns when it has ended: its body was read, broke off or is dropped, or the client has left;
 *   undefined if nothing is left to wait for
 */
export function untilEnd(c: Context, isRaw: boolean): Promise<unknown> | undefined {
  const { res, req } = c;
  const { body } = res;
  if (res.webSocket) {
    const [response, ended] = relaySocket(res, res.webSocket);
    replaceResponse(c, response);
    return ended;
  }
  // Hono answers HEAD as GET, and nobody reads the body.
  if (!body || body.locked || req.method === "HEAD" || !isCopyable(res)) return undefined;
  const bytes = lengthOf(body);
  const { readable, writable } =
    bytes === undefined ? new IdentityTransformStream() : new FixedLengthStream(bytes);
  const copy = new Response(readable, res);
  if (!isRaw && bytes === undefined && res.headers.has("Content-Encoding")) weakenTag(copy.headers);
  const { signal } = req.raw;
  // A client that leaves ends the body at its source too, even if nothing is being written.
  const passed = body.pipeTo(writable, { signal });
  // A source in code that is being asked for more keeps the pipe from settling then.
  const left = new Promise<unknown>((resolve) => {
    if (signal.aborted) resolve(0);
    signal.addEventListener("abort", resolve);
  });
  replaceResponse(c, copy);
  return Promise.race([passed, left, untilDropped(c, readable)]).catch(() => {});
}

function lengthOf(body: ReadableStream): bigint | undefined {
  return LENGTH && (body as unknown as Record<symbol, bigint | undefined>)[LENGTH];
}

/** Encoded anew, it may have other bytes than what the origin meant by its tag. */
function weakenTag(headers: Headers): void {
  const tag = headers.get("ETag");
  if (tag?.startsWith('"')) headers.set("ETag", `W/${tag}`);
}

/**
 * Resolves if nobody reads the body: a middleware further out has put another response in place of
 * this one, or has answered before the handler did, as `timeout()` does. The runtime begins to read
 * as soon as the last middleware is done.
 */
async function untilDropped(c: Context, body: ReadableStream): Promise<void> {
  for (let pauseMs = 1; pauseMs <= MAX_UNREAD_PAUSE_MS; pauseMs *= 2) {
    await scheduler.wait(pauseMs);
    if (body.locked) return new Promise(() => {});
    if (c.res.body !== body) return;
  }
}
