/**
 * Conditional requests (RFC 9110, section 13; RFC 9111, section 4.3): the client's, and our own.
 * Pure.
 */
import { parseHttpDate } from "./http-date.ts";

/**
 * Fields about the copy that a client has. A handler that makes a whole response must not see them.
 */
const CONDITIONS = ["If-None-Match", "If-Modified-Since"];

/** Fields about the body: those of the stored response stay, whatever a 304 says. */
const BODY_FIELDS = ["content-length", "content-encoding", "content-range", "transfer-encoding"];

const TAG = /(?:W\/)?"[^"]*"/g;

/**
 * Returns true if the client has this response already, so that a 304 is enough.
 *
 * @param nowMs for dates with a year of two digits
 */
export function isNotModified(
  request: Headers,
  status: number,
  response: Headers,
  nowMs: number,
): boolean {
  if (status !== 200) return false;
  const tags = request.get("If-None-Match");
  if (tags !== null) {
    if (tags.trim() === "*") return true;
    const tag = opaque(response.get("ETag") ?? "");
    return (tags.match(TAG) ?? []).some((each) => opaque(each) === tag);
  }
  const sinceMs = parseHttpDate(request.get("If-Modified-Since") ?? "", nowMs);
  // Without `Last-Modified`, the date at which the response was made serves (RFC 9111, section
  // 4.3.2).
  const changed = response.get("Last-Modified") ?? response.get("Date") ?? "";
  const changedMs = parseHttpDate(changed, nowMs);
  return sinceMs !== undefined && changedMs !== undefined && changedMs <= sinceMs;
}

/** Returns the request's headers with conditions for `stored` in place of the client's. */
export function unconditional(request: Headers, stored?: Headers): Headers {
  const headers = new Headers(request);
  for (const name of CONDITIONS) headers.delete(name);
  const tag = stored?.get("ETag");
  const date = stored?.get("Last-Modified");
  if (tag) headers.set("If-None-Match", tag);
  if (date) headers.set("If-Modified-Since", date);
  // The only coding that the runtime certainly decodes. Responses are stored decoded.
  if (headers.get("Accept-Encoding")?.includes("gzip")) headers.set("Accept-Encoding", "gzip");
  return headers;
}

/** Returns the stored headers as a 304 updates them (RFC 9111, section 3.2). */
export function updated(stored: Headers, notModified: Headers): Headers {
  const headers = new Headers(stored);
  // Without a date of its own, a 304 was made when it came.
  headers.delete("Date");
  for (const [name, value] of notModified) {
    if (name === "set-cookie") headers.append(name, value);
    else if (!BODY_FIELDS.includes(name)) headers.set(name, value);
  }
  return headers;
}

/** Returns a tag without its weakness, which the weak comparison ignores. */
function opaque(tag: string): string {
  return tag.replace(/^W\//, "");
}
