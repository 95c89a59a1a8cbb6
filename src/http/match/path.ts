/**
 * The path of a request, in every way that an origin may read it.
 *
 * Origins differ. One cuts `;parameters` and then decodes. Another decodes and then splits. A third
 * decodes what a proxy in front has already decoded. So an odd path has a set of readings: the
 * results of every chain of such steps, with up to three decodings. A request meets a policy if one
 * reading matches.
 *
 * A path that hides dots or a NUL in an encoding is refused. Dots can remove any part of a path,
 * and only attackers encode them.
 *
 * The price: paths that an origin tells apart by case or by `;parameters` may count together.
 */
import { parseUrl } from "../../limit/url.ts";
import { decodeLoosely, decodeSegments, decodeUtf8 } from "./percent.ts";

/** A URL with one reading: its path in lower case, without the slash at its end. */
const PLAIN_URL =
  /^https?:\/\/[\w.:[\]-]+(?=\/)((?:\/[\w~@!$&'()*+,=:-][\w.~@!$&'()*+,=:-]*(?<!\.))*)\/?(?:\?|$)/;

/** A `Host` with which a URL parser and a router find different paths in one URL. */
const ODD_HOST = /^\w+:\/\/[^/]*[?#\\]/;

/** The path in a URL's text. */
const PATH_TEXT = /^\w+:\/\/[^/]*([^?#]*)/;

/** A decoded path that needs the steps below. */
const NEEDS_STEPS = /[%;?#\\\p{Cc}]|\/\/|[.\s](?:\/|$)/u;

/** A path that some step below changes. */
const ODD = /[^!"$-:<->@-[\]-~]|%|\/\/|\.(?:\/|$)/;

/** Proxies and frameworks in a row decode a path up to three times. */
const MAX_DECODINGS = 3;

/** Bounds on the time that an odd path can cost. A path beyond them is refused. */
const MAX_ODD_CHARS = 2_048;
const MAX_CHARS_OF_STATES = 8_192;
const MAX_STATES = 64;

/** A NUL, or a segment that is only dots once parameters and spaces are cut off. */
const HIDDEN = /[/\\](?!\.{3,}(?:[/\\;?#]|$))[\s\p{Cc}]*\.[.\s\p{Cc}]*(?:[/\\;?#]|$)|\0/u;

/** The first segment of the API's path. */
const RESERVED = "_turnpike";

/** What an origin may do with a path besides decoding it. */
const STEPS: readonly ((path: string) => string)[] = [
  // Tomcat, Jetty and Spring cut the parameters of each segment.
  (path) => path.replace(/;[^/]*/g, ""),
  // Fastify 4 cuts everything after a semicolon.
  (path) => path.replace(/;.*/s, ""),
  // Servers that decode first see the start of a query or a fragment.
  (path) => path.replace(/[?#].*/s, ""),
  // Windows and Node's `url` read a backslash as a slash.
  (path) => path.replaceAll("\\", "/"),
  bestFit,
  // URL parsers drop tabs and line ends.
  (path) => path.replace(/[\t\n\r]/g, ""),
  // Windows drops dots and blanks at the end of each name. URL parsers do at the end of the path.
  (path) => path.replace(/(?<![.\s\p{Cc}])[.\s\p{Cc}]+(?=\/|$)/gu, ""),
  // nginx merges slashes.
  (path) => path.replace(/\/\/+/g, "/"),
  // `new URL(request.url, base)` reads the first segment after two slashes as a host.
  (path) => path.replace(/^\/\/+[^/]*/, "") || "/",
  // Routers that split first decode each segment by itself.
  decodeSegments,
];

/**
 * The last odd URL and its readings, since the readings of one request are needed several times.
 */
let last: { url: string; hasDots: boolean; readings: readonly string[] | undefined } | undefined;

/**
 * Returns the readings of a URL's path, or undefined for a path that is refused.
 *
 * Readings are in lower case and without a slash at the end, so the root is empty. An odd path also
 * has readings with its empty segments, since some origins keep them.
 *
 * @param resolvesDots whether the handler gets the path with dots resolved, as behind the gate.
 *   Hono's router does not resolve dots, so a user's own app refuses them. Browsers and HTTP
 *   clients resolve dots before they send a request
 * @example readingsOf("https://a.example/Login;v=1") // ["/login;v=1", "/login"]
 */
export function readingsOf(url: string, resolvesDots = true): readonly string[] | undefined {
  const plain = PLAIN_URL.exec(url)?.[1];
  if (plain !== undefined) return [plain.toLowerCase()];
  if (last?.url !== url) {
    const path = pathnameOf(url);
    const readings = path === undefined ? path : explore(path);
    // Hono's router reads the path from the URL's text.
    const text = fold(decodeSegments(PATH_TEXT.exec(url)?.[1] ?? ""));
    const hasDots = HIDDEN.test(text);
    const more = hasDots ? [] : [text, withoutSlash(text)];
    last = { url, hasDots, readings: readings && [...new Set([...readings, ...more])] };
  }
  return last.hasDots && !resolvesDots ? undefined : last.readings;
}

/** Returns true if the gate can forward this URL without a look at its path. */
export function isOrdinary(url: string): boolean {
  return (
    !url.includes("%") &&
    !url.includes(";") &&
    !/_turnpike|[^!-~]/i.test(url) &&
    !ODD_HOST.test(url)
  );
}

/**
 * Returns true if any server could read this path as the API's.
 *
 * The API answers the paths that the router gives it. Any other path in which `_turnpike` can be
 * read, in any case, place and encoding, is 404: its request may carry the API's token, so it is
 * never forwarded.
 */
export function isReserved(url: string): boolean {
  if (isOrdinary(url)) return false;
  let path = pathnameOf(url) ?? url;
  for (let n = 0; n < MAX_DECODINGS; n++) path = decodeUtf8(path);
  const decoded = fold(path.replace(/[\t\n\r]/g, "").normalize("NFKC"));
  return (
    decoded.includes(RESERVED) || !!readingsOf(url)?.some((reading) => reading.includes(RESERVED))
  );
}

/** Folds case as readings do: `ẞ` and `ss` become the same. */
export function fold(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase();
}

/**
 * Returns the path that the gate would forward; undefined for a URL that cannot be read, or that
 * two parsers read differently. The runtime's URL has the client's `Host` and the request line's
 * path, dots unresolved.
 */
function pathnameOf(url: string): string | undefined {
  return ODD_HOST.test(url) ? undefined : parseUrl(url)?.pathname;
}

/** Returns every path that any chain of steps leads to. */
function explore(path: string): readonly string[] | undefined {
  const text = decodeSegments(path);
  const fitted = bestFit(text);
  // A path of letters alone, in any script, needs no steps.
  if (!NEEDS_STEPS.test(text) && !NEEDS_STEPS.test(fitted))
    return [...new Set([text, fitted].map(withoutSlash))];
  if (path.length > MAX_ODD_CHARS || isHidden(path)) return undefined;
  const seen = new Set([path]);
  let decodable = [path];
  let chars = 0;
  for (let decodings = 0; ; decodings++) {
    // `add` appends to the list while it is walked.
    for (const state of decodable) {
      chars += state.length;
      if (chars > MAX_CHARS_OF_STATES || seen.size > MAX_STATES || HIDDEN.test(state)) {
        return undefined;
      }
      if (ODD.test(state)) for (const step of STEPS) add(step(state), decodable);
    }
    if (decodings === MAX_DECODINGS) break;
    const decoded: string[] = [];
    for (const state of decodable) {
      add(decodeUtf8(state), decoded);
      add(decodeLoosely(state), decoded);
    }
    decodable = decoded;
  }
  const readings = [...seen].map((state) => fold(decodeSegments(state)));
  return [...new Set(readings.flatMap((reading) => [reading, withoutSlash(reading)]))];

  function add(state: string, list: string[]): void {
    if (seen.has(state)) return;
    seen.add(state);
    list.push(state);
  }
}

/** Tries the chain of steps that most attacks use, so that refusing an attack costs little. */
function isHidden(path: string): boolean {
  let text = path;
  for (let decodings = 0; decodings < MAX_DECODINGS; decodings++) {
    text = bestFit(decodeLoosely(text)).replace(/[\t\n\r]/g, "");
    if (HIDDEN.test(text)) return true;
  }
  return false;
}

function withoutSlash(path: string): string {
  return fold(path).replace(/\/$/, "");
}

/** Maps full-width letters, and what looks like a slash, to ASCII as Windows does ("best fit"). */
function bestFit(path: string): string {
  return path
    .normalize("NFKC")
    .replace(/[⁄∕╱⧸]/g, "/")
    .replace(/[∖⧵¥₩]/g, "\\");
}
