/**
 * Tells when a response has ended, without a change to its bytes, length and headers.
 *
 * The runtime does not say when it has sent a response, so the body passes through a stream of
 * ours. A fetched body is decoded there and encoded again when it is sent, unless `fetch` was
 * called with `encodeResponseBody: "manual"`, as the gateway does.
 */
import type { Context } from "hono";
import { WORKERS } from "../../runtime.ts";
import { isCopyable, replaceResponse } from "./response.ts";
import { relaySocket } from "./socket-relay.ts";

/** The longest pause between two looks at an unread body. All pauses together are twice as long. */
const MAX_UNREAD_PAUSE_MS = 2_048;
/** The most of a body that is looked at in one go. */
const CHUNK_BYTES = 65_536;

/**
 * The symbol under which the runtime shows a body's length to `console.log`. With that length the
 * copy keeps its `Content-Length`; without it the copy is sent in chunks.
 */
const LENGTH = Object.getOwnPropertySymbols(ReadableStream.prototype).find(
  ({ description }) => description === "length",
);

/** The runtime's own stream is fast. Outside a Worker, as under the test kit, this one does. */
const Identity =
  typeof IdentityTransformStream === "undefined" ? TransformStream : IdentityTransformStream;

/**
 * Replaces the response in `c.res` by a copy whose end can be seen.
 *
 * A response that cannot be copied (see `isCopyable`) counts as ended at once.
 *
 * @param isRaw whether encoded bodies pass unchanged
 * @param look is called with each chunk that passes
 * @returns resolves when the body was read, broke off or was dropped, or the client has left;
 *   undefined if there is nothing to wait for
 */
export function untilEnd(
  c: Context,
  isRaw: boolean,
  look?: (chunk: Uint8Array) => void,
): Promise<unknown> | undefined {
  const { res, req } = c;
  const { body } = res;
  if (res.webSocket) {
    const [response, ended] = relaySocket(res, res.webSocket);
    replaceResponse(c, response);
    return ended;
  }
  // Hono answers HEAD as GET, and drops the body.
  if (!body || body.locked || req.method === "HEAD" || !isCopyable(res)) return undefined;
  const bytes = lengthOf(body);
  const { readable, writable } =
    bytes === undefined ? new Identity() : new FixedLengthStream(bytes);
  const copy = new Response(readable, res);
  if (!isRaw && bytes === undefined && res.headers.has("Content-Encoding")) weakenTag(copy.headers);
  const { signal } = req.raw;
  // If the client leaves, this cancels the body at its source, even while nothing is written.
  const passed = look ? passOn(body, writable, look, signal) : body.pipeTo(writable, { signal });
  // The pipe does not settle while a source in code is busy with a pull.
  const left = new Promise<unknown>((resolve) => {
    if (signal.aborted) resolve(0);
    signal.addEventListener("abort", resolve);
  });
  replaceResponse(c, copy);
  return Promise.race([passed, left, untilDropped(c, readable)]).catch(() => {});
}

/**
 * Writes a body on, and shows each chunk to `look`. It reads fewer and larger chunks than a
 * `TransformStream`, which takes several times as long.
 */
async function passOn(
  body: ReadableStream<Uint8Array>,
  writable: WritableStream<Uint8Array>,
  look: (chunk: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const writer = writable.getWriter();
  const reader = readerOf(body);
  const leave = (reason: unknown) => {
    reader.cancel(reason).catch(() => {});
    writer.abort(reason).catch(() => {});
  };
  signal.addEventListener("abort", () => leave(signal.reason));
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      look(value);
      await writer.write(value);
    }
    await writer.close();
  } catch (error) {
    leave(error);
    throw error;
  }
}

/** Returns a reader of up to `CHUNK_BYTES` at once, if the body is a byte stream. */
function readerOf(body: ReadableStream<Uint8Array>) {
  let byob: ReadableStreamBYOBReader;
  try {
    byob = body.getReader({ mode: "byob" });
  } catch {
    return body.getReader();
  }
  return {
    read: () => byob.read(new Uint8Array(CHUNK_BYTES)),
    cancel: (reason: unknown) => byob.cancel(reason),
  };
}

function lengthOf(body: ReadableStream): bigint | undefined {
  return LENGTH && (body as unknown as Record<symbol, bigint | undefined>)[LENGTH];
}

/** Weakens an `ETag`: a body that is encoded again may have other bytes than the origin's. */
function weakenTag(headers: Headers): void {
  const tag = headers.get("ETag");
  if (tag?.startsWith('"')) headers.set("ETag", `W/${tag}`);
}

/**
 * Resolves if the body is never read: an outer middleware has replaced the response, or has
 * answered before the handler, as `timeout()` does. Otherwise the runtime starts to read the body
 * as soon as the last middleware is done.
 */
async function untilDropped(c: Context, body: ReadableStream): Promise<void> {
  for (let pauseMs = 1; pauseMs <= MAX_UNREAD_PAUSE_MS; pauseMs *= 2) {
    await WORKERS.wait(pauseMs);
    if (body.locked) return new Promise(() => {});
    if (c.res.body !== body) return;
  }
}
