/** Copies and replaces a response, and writes its headers, within what the runtime lets code do. */
import type { Context } from "hono";
import type { Header } from "./cors.ts";

/** Statuses of responses without a body (Fetch standard, "null body status"). */
const BODILESS = [101, 204, 205, 304];

/**
 * Returns true if code can copy this response. An origin may send a status outside 200 to 599, or a
 * body with a status that has none. Code can make neither.
 */
export function isCopyable({ status, body, webSocket }: Response): boolean {
  if (webSocket) return true;
  return status >= 200 && status <= 599 && (body === null || !BODILESS.includes(status));
}

export function writeFields(c: Context, fields: readonly Header[]): void {
  const [first, ...others] = fields;
  if (!first) return;
  const { res } = c;
  // A handler may answer many requests with one response that has no body.
  // If the handler has answered nothing, Hono throws an error that says so.
  if (c.finalized && res.body === null && isCopyable(res))
    replaceResponse(c, new Response(null, res));
  let { headers } = c.res;
  try {
    headers.set(...first);
  } catch {
    // The headers of a response from `fetch` are immutable. Hono makes a copy.
    if (!isCopyable(c.res)) return;
    c.header(...first);
    headers = c.res.headers;
  }
  for (const header of others) headers.set(...header);
}

/** Replaces the response. Hono would merge the headers as text, though they may be any bytes. */
export function replaceResponse(c: Context, response: Response): void {
  (c as { res: Response | undefined }).res = undefined;
  c.res = response;
}
