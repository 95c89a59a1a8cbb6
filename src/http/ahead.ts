/**
 * Runs the handlers of a request ahead of its verdict, and holds their answer until then.
 *
 * After a denial nothing of that answer is sent: its body is cancelled, its socket closed, and what
 * the handlers did to the context is undone. What else a handler has done stays done, such as
 * writes and tasks given to `waitUntil`. A handler that ignores the aborted signal ends with its
 * request.
 */
import type { Context, Next } from "hono";
import { WORKERS } from "../runtime.ts";
import { replaceResponse } from "./answer/response.ts";
import { withChanges } from "./key/normalize-headers.ts";

/** How long a refusal waits for handlers whose signal was aborted. Most of them end at once. */
const MAX_ENDING_MS = 50;
/**
 * How many microtasks the middlewares in front have to change the refusal while handlers still run.
 * No timer or I/O of a handler comes between microtasks.
 */
const UNWINDING_TURNS = 100;
/** "Try again later", in IANA's registry of close codes. */
const TRY_AGAIN_LATER = 1013;

/** Handlers that run ahead of their verdict. */
export interface Ahead {
  /** Resolves when the handlers have ended, with their answer in `c.res`. Rejects as they do. */
  ended: () => Promise<void>;
  /**
   * Drops the answer, and refuses the request in its place.
   *
   * @param refuse makes the refusal in the context that the handlers found
   */
  refuse(refuse: () => Response | Promise<Response>): Promise<Response | undefined>;
}

export function runAhead(c: Context, next: Next): Ahead {
  const { raw } = c.req;
  const controller = new AbortController();
  // A copy of the headers set so far. If `c.res` were read, Hono would copy the answer later, and
  // a copy can lose the answer's bytes and status.
  const { headers: prepared } = c.newResponse(null);
  const signal = AbortSignal.any([raw.signal, controller.signal]);
  c.req.raw = withChanges(raw, { signal });
  const running = next();
  let isRunning = true;
  const over = running
    .catch(() => {})
    .then(() => {
      isRunning = false;
    });

  const reset = (headers: Headers) => {
    if (c.finalized) discard(c.res);
    replaceResponse(c, new Response(null, { headers }));
    c.finalized = false;
    c.error = undefined;
  };
  return {
    ended: () => running,
    async refuse(refuse) {
      controller.abort();
      await Promise.race([over, WORKERS.wait(MAX_ENDING_MS)]);
      reset(prepared);
      c.req.raw = raw;
      const refusing = refuse();
      if (!isRunning) return refusing;
      const { headers } = c.res;
      const refusal = await refusing;
      reset(headers);
      c.res = refusal;
      void seal(c);
      return undefined;
    },
  };
}

/** Fixes the response, so that handlers that still run cannot change it. */
async function seal(c: Context): Promise<void> {
  for (let turn = 0; turn < UNWINDING_TURNS; turn++) await undefined;
  const { res } = c;
  Object.defineProperty(c, "res", { get: () => res.clone(), set: () => {} });
}

function discard({ body, webSocket }: Response): void {
  if (webSocket) {
    webSocket.accept();
    webSocket.close(TRY_AGAIN_LATER);
  } else if (body && !body.locked) {
    WORKERS.keepAlive(body.cancel().catch(() => {}));
  }
}
