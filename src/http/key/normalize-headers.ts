/**
 * Makes sure that what was counted is what is seen behind: where a key names a header or a cookie,
 * the request goes on with the one value that was read.
 *
 * A header in two lines leaves as one, of two cookies with one name the first stays, and so on: else
 * a client would vary what is counted and show the server his one true key in the place where only
 * that server looks. Handlers and the gateway both read `c.req.raw`, so both see the same.
 */
import type { Context } from "hono";
import type { Policy } from "../../limit/policy.ts";
import type { Rule } from "../rule-functions.ts";
import { readCookie, readHeader } from "./request-values.ts";

/**
 * Returns what narrows a request to the values that its rules count; undefined where none of them
 * names a header or a cookie. A shadow policy changes nothing.
 */
export function headerNormalizer(
  rules: readonly Rule[],
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
      for (const [name, text] of changes(headers, part)) {
        if (headers === raw.headers) headers = new Headers(headers);
        if (text) headers.set(name, text);
        else headers.delete(name);
      }
    }
    if (headers !== raw.headers) c.req.raw = withHeaders(raw, headers);
  };
}

/** The headers that must change before a key's part can be read in one way only. */
function changes(headers: Headers, part: string): [name: string, text: string][] {
  const [kind, name = ""] = part.split(/:(.*)/s);
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

/** As CGI, WSGI, Rack and PHP see a name: `X_Api_Key` is `X-Api-Key` for them. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/[^a-z\d]/g, "-");
}

function withHeaders(raw: Request, headers: Headers): Request {
  const { signal, method, url, cf, bodyUsed } = raw as Request<unknown, CfProperties>;
  // Hono keeps a body that was read before.
  if (bodyUsed) return new Request(url, { method, headers, signal, ...(cf && { cf }) });
  return new Request(raw, { headers, signal });
}
