/** What code may do with a response: copy it, replace it, write its headers. */
import type { Context } from "hono";
import type { Header } from "./cors.ts";

/** Statuses of responses without a body (Fetch standard, "null body status"). */
const BODILESS = [101, 204, 205, 304];

/**
 * Can code make a response like this one? Not of a status outside 200 to 599, which an origin may
 * send all the same, nor with a body where the status has none.
 */
export function isCopyable({ status, body, webSocket }: Response): boolean {
  if (webSocket) return true;
  return status >= 200 && status <= 599 && (body === null || !BODILESS.includes(status));
}

/** Writes headers onto the response. Leaves one that cannot be written on as it is. */
export function writeFields(c: Context, fields: readonly Header[]): void {
  const [first, ...others] = fields;
  if (!first) return;
  try {
    c.res.headers.set(...first);
  } catch {
    // What `fetch` gave cannot be written on. Hono makes a copy.
    if (!isCopyable(c.res)) return;
    c.header(...first);
  }
  for (const header of others) c.res.headers.set(...header);
}

/** Puts another response in place, without Hono's merging of headers, which are bytes, as text. */
export function replaceResponse(c: Context, response: Response): void {
  (c as { res: Response | undefined }).res = undefined;
  c.res = response;
}
