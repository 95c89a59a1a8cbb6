/**
 * Rewrites the headers and cookies that a key names, so that the handler and the origin read the
 * value that was counted.
 *
 * Otherwise a client could vary the counted value, and send its real key where only the origin
 * reads it. Two header lines become one. Of two cookies with one name, the first stays. A header
 * that the gate keeps from the origin is not there for the key either.
 */
import type { Context } from "hono";
import type { Policy } from "../../limit/policy.ts";
import type { Rule } from "../rule-functions.ts";
import { readCookie, readHeader } from "./request-values.ts";

/**
 * Returns the function that rewrites `c.req.raw`; undefined if no rule's key names a header or a
 * cookie. A shadow policy changes nothing.
 *
 * @param removed returns the headers that the origin does not get, in lower case
 */
export function headerNormalizer(
  rules: readonly Rule[],
  removed: (headers: Headers) => readonly string[] = () => [],
): ((c: Context, met: readonly Rule[]) => void) | undefined {
  const named = new Map<Policy, string[]>();
  for (const rule of rules) {
    const parts = rule.policy.key.filter((part) => /^(?:header|cookie):/.test(part));
    if (!rule.key && !rule.policy.shadow && parts.length > 0) named.set(rule.policy, parts);
  }
  if (named.size === 0) return undefined;

  return function normalizeHeaders(c, met) {
    const { raw } = c.req;
    let { headers } = raw;
    for (const part of met.flatMap((rule) => named.get(rule.policy) ?? [])) {
      for (const [name, text] of changesFor(headers, part, removed(raw.headers))) {
        if (headers === raw.headers) headers = new Headers(headers);
        if (text) headers.set(name, text);
        else headers.delete(name);
      }
    }
    if (headers !== raw.headers) c.req.raw = withChanges(raw, { headers });
  };
}

/** Returns the headers to change, so that a key part can be read in one way only. */
function changesFor(
  headers: Headers,
  part: string,
  removed: readonly string[],
): [name: string, text: string][] {
  const [kind, name = ""] = part.split(/:(.*)/s);
  const field = (kind === "cookie" ? kind : name).toLowerCase();
  if (removed.includes(field) && headers.has(field)) return [[field, ""]];
  if (kind === "cookie") {
    const { normalized } = readCookie(headers.get("Cookie"), name);
    return normalized === undefined ? [] : [["Cookie", normalized]];
  }
  const { normalized } = readHeader(headers.get(name), name);
  const found: [string, string][] = normalized === undefined ? [] : [[name, normalized]];
  const sought = canonical(name);
  for (const each of headers.keys()) {
    if (each.length !== name.length || each === name.toLowerCase()) continue;
    if (canonical(each) === sought) found.push([each, ""]);
  }
  return found;
}

/** Returns a header's name as CGI, WSGI, Rack and PHP see it: `X_Api_Key` is `X-Api-Key`. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/[^a-z\d]/g, "-");
}

/** Returns a copy of a request with other headers, or another signal. */
export function withChanges(
  raw: Request,
  changes: { headers?: Headers; signal?: AbortSignal },
): Request {
  const { signal, method, url, headers, cf, bodyUsed } = raw as Request<unknown, CfProperties>;
  // A middleware has read the body through Hono, which keeps it.
  if (bodyUsed) return new Request(url, { method, headers, signal, ...(cf && { cf }), ...changes });
  return new Request(raw, { signal, ...changes });
}
