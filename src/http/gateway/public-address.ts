/**
 * Replaces the origin's own address in a response's headers by the gate's. A client that follows
 * the origin's address would go past every limit from then on.
 *
 * It does what nginx's `proxy_redirect default` and `proxy_cookie_domain` do, for `Location`,
 * `Content-Location`, `Refresh`, `Link` and the attributes of cookies. Relative addresses, those of
 * other hosts, and the body stay unchanged.
 */
import { parseUrl } from "../../limit/url.ts";

/** A header to set: its values, one a line. */
export type Change = readonly [name: string, values: readonly string[]];

const POINTERS = ["Location", "Content-Location", "Refresh", "Link"];

/** An optional scheme, and the host. Browsers accept backslashes, and any number of slashes. */
const AUTHORITY = /^(?:(https?:)[\\/]*|[\\/]{2,})[^\\/?#]*/i;

/** Seconds, and then a URL that may be quoted. */
const REFRESH = /^(\s*[\d.]+(?:\s*[;,]|\s)\s*(?:url\s*=\s*)?["']?)([^"']+)/i;

/**
 * Returns the headers that name the origin, with the gate's address instead.
 *
 * @param base the origin's own URL
 * @param url the client's URL
 */
export function publicHeaders(headers: Headers, base: URL, url: URL): Change[] {
  const changes: Change[] = [];
  for (const name of POINTERS) {
    const value = headers.get(name);
    if (value === null) continue;
    const changed = pointTo(name, value, (text) => publicAddress(text, base, url));
    if (changed !== value) changes.push([name, [changed]]);
  }
  if (headers.has("Set-Cookie")) {
    const cookies = setCookies(headers);
    const changed = cookies.map((cookie) => publicCookie(cookie, base, url));
    if (changed.some((cookie, at) => cookie !== cookies[at])) changes.push(["Set-Cookie", changed]);
  }
  return changes;
}

function pointTo(name: string, value: string, translate: (text: string) => string): string {
  if (name === "Link") return value.replace(/(?<=<)[^<>]*(?=>)/g, translate);
  if (name === "Refresh") {
    return value.replace(REFRESH, (_, before: string, text: string) => before + translate(text));
  }
  return translate(value);
}

function publicAddress(given: string, base: URL, url: URL): string {
  // URL parsers ignore tabs and line ends.
  const text = given.replace(/[\t\r\n]/g, "").trim();
  const [authority, scheme] = AUTHORITY.exec(text) ?? [];
  if (authority === undefined) return given;
  const target = parseUrl(scheme ? text : base.protocol + text);
  // The scheme may differ, since few origins know how they are reached.
  if (!target || undotted(target) !== undotted(base)) return given;
  const path = text.slice(authority.length).replace(/^[^?#]*/, (it) => it.replaceAll("\\", "/"));
  const rest = belowPrefix(path, prefixOf(base));
  if (rest === undefined) return given;
  const address = url.origin + rest;
  // An origin that redirects to the other scheme would otherwise send the client in a circle.
  const isCircle = target.protocol !== base.protocol && parseUrl(address)?.href === url.href;
  return isCircle ? given : address;
}

/** Returns the host without a dot at its end, the root of all names. */
function undotted({ host }: URL): string {
  return host.replace(/\.(?=:|$)/, "");
}

function publicCookie(cookie: string, base: URL, url: URL): string {
  const prefix = prefixOf(base);
  return cookie.replace(
    /;\s*(domain|path)\s*=\s*([^;]*)/gi,
    (whole, name: string, value: string) => {
      if (/domain/i.test(name)) {
        const domain = value.trim().replace(/^\./, "").toLowerCase();
        return domain === base.hostname ? `; ${name}=${url.hostname}` : whole;
      }
      const path = prefix ? belowPrefix(value.trim(), prefix) : undefined;
      return path === undefined ? whole : `; ${name}=${path || "/"}`;
    },
  );
}

/** Returns the path below the origin's own path; undefined for a path outside it. */
function belowPrefix(path: string, prefix: string): string | undefined {
  const rest = path.slice(prefix.length);
  return path.startsWith(prefix) && /^(?:[/?#]|$)/.test(rest) ? rest : undefined;
}

function prefixOf({ pathname }: URL): string {
  return pathname.replace(/\/$/, "");
}

/** The oldest types of the runtime do not have this method. */
function setCookies(headers: Headers): string[] {
  return (headers as unknown as { getSetCookie(): string[] }).getSetCookie();
}
