/** Answers a client: with a stored response, with the handler's, or with a 304. */
import type { Context } from "hono";
import { WORKERS } from "../../runtime.ts";
import type { Body } from "./body.ts";
import { type CacheStatus, cacheStatus } from "./cache-status.ts";
import { isNotModified } from "./conditional.ts";
import { type Aged, isGzip } from "./kept-response.ts";

/** Statuses of responses without a body (Fetch standard, "null body status"). */
export const BODILESS = [204, 205, 304];
const NOT_IN_304 = ["content-type", "content-length", "content-encoding", "content-range"];
/** A body that takes longer is sent as a stream. */
const STREAMED_AFTER_MS = 50;

/** Answers with a stored response. */
export function sendStored(
  c: Context,
  request: Headers,
  prepared: Headers,
  { response, residentMs }: Aged,
  status: CacheStatus,
): void {
  const headers = new Headers(prepared);
  for (const [name, value] of response.headers) {
    const before = name === "vary" ? headers.get(name) : null;
    if (name === "set-cookie") headers.append(name, value);
    else headers.set(name, before ? `${before}, ${value}` : value);
  }
  const ageMs = response.life.initialAgeMs + residentMs;
  headers.set("Age", String(Math.floor(ageMs / 1_000)));
  send(c, request, response.status, headers, response.body, status);
}

/**
 * Answers with the handler's response, while the store may still be reading its body.
 *
 * @param body null if the response has no body
 */
export async function sendOwn(
  c: Context,
  request: Headers,
  { status, headers, body }: { status: number; headers: Headers; body: Body | null },
  told: CacheStatus,
): Promise<void> {
  const waiting = body && WORKERS.wait(STREAMED_AFTER_MS, body.whole);
  const whole = body && (await Promise.race([body.whole, waiting]));
  const content = whole ?? body?.stream() ?? null;
  // A body that is not whole yet may turn out too large to be stored.
  const { stored, ...others } = told;
  send(c, request, status, new Headers(headers), content, whole || !body ? told : others);
}

/** Answers with a response of the handler that may not be stored. */
export function sendPassing(c: Context, request: Headers, told: CacheStatus): void {
  const { status, headers, body } = c.res;
  // The handler has not seen the client's conditions.
  const hasValidator = headers.has("ETag") || headers.has("Last-Modified");
  if (hasValidator && isNotModified(request, status, headers, WORKERS.now())) {
    if (body) WORKERS.keepAlive(body.cancel());
    replace(c, notModified(headers));
  }
  tell(c, told);
}

/** Adds `Cache-Status` to a response that passes as the handler made it. */
export function tell(c: Context, status: CacheStatus): void {
  const field = cacheStatus(c.res.headers.get("Cache-Status"), status);
  try {
    c.res.headers.set("Cache-Status", field);
  } catch {
    // The headers of a response from `fetch` are immutable.
    const { res } = c;
    const isValid = res.body === null || !BODILESS.includes(res.status);
    if (res.webSocket || res.status < 200 || res.status > 599 || !isValid) return;
    replace(c, new Response(res.body, res));
    c.res.headers.set("Cache-Status", field);
  }
}

function send(
  c: Context,
  request: Headers,
  status: number,
  headers: Headers,
  body: Uint8Array | ReadableStream | null,
  told: CacheStatus,
): void {
  headers.set("Cache-Status", cacheStatus(headers.get("Cache-Status"), told));
  if (isNotModified(request, status, headers, WORKERS.now())) {
    if (body instanceof ReadableStream) WORKERS.keepAlive(body.cancel());
    replace(c, notModified(headers));
    return;
  }
  const isBodiless = BODILESS.includes(status);
  // With a coding the runtime sets the length, since it codes the body.
  if (body instanceof Uint8Array && !isBodiless && !headers.has("Content-Encoding")) {
    headers.set("Content-Length", String(body.length));
  }
  const isCoded = body instanceof Uint8Array && isGzip(body);
  const encodeBody = isCoded && headers.has("Content-Encoding") ? "manual" : "automatic";
  replace(c, new Response(isBodiless ? null : body, { status, headers, encodeBody }));
}

function notModified(given: Headers): Response {
  const headers = new Headers(given);
  for (const name of NOT_IN_304) headers.delete(name);
  return new Response(null, { status: 304, headers });
}

/** Replaces the response, with its headers: an assignment alone would have Hono merge them. */
export function replace(c: Context, response: Response): void {
  (c as { res: Response | undefined }).res = undefined;
  c.res = response;
}
