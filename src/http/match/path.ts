/**
 * The path of a request, in every way that an origin behind the gate may read it.
 *
 * Origins differ: one cuts `;parameters` and then decodes, one decodes and then splits, one decodes
 * twice because a proxy stands before it. So an odd path has a set of readings: what any chain of
 * such steps makes of it, with up to three decodings. A policy is met if one reading meets it.
 *
 * Dots and NULs that only a decoder sees have no reading. They could take away any part of a path,
 * and only an attacker sends them: the request is refused.
 *
 * The price: paths that an origin tells apart, by case or by `;parameters`, may count together.
 */
import { parseUrl } from "../../limit/url.ts";

/** A URL with one reading: its path in small letters, without the slash at its end. */
const PLAIN_URL =
  /^https?:\/\/[\w.:[\]-]+(?=\/)((?:\/[\w~@!$&'()*+,=:-][\w.~@!$&'()*+,=:-]*(?<!\.))*)\/?(?:\?|$)/;

/** A host, as a client sent it, at which a URL parser and a router begin to read other paths. */
const ODD_HOST = /^\w+:\/\/[^/]*[?#\\]/;

/** The path in a URL's text. */
const PATH_TEXT = /^\w+:\/\/[^/]*([^?#]*)/;

/** Signs that a decoded path needs the steps below. */
const NEEDS_STEPS = /[%;?#\\\p{Cc}]|\/\/|[.\s](?:\/|$)/u;

/** A path that some step below changes. */
const ODD = /[^!"$-:<->@-[\]-~]|%|\/\/|\.(?:\/|$)/;

/** As many hops are known to decode one after the other. */
const MAX_DECODINGS = 3;

/** Each step costs time that a client chooses, so long odd paths are refused. */
const MAX_ODD_CHARS = 2_048;
const MAX_CHARS_OF_STATES = 8_192;
const MAX_STATES = 64;

const ENCODED = /%([0-7][\da-f])|(?:%[89a-f][\da-f])+/gi;
/** Encoded, and no part of a path's structure for a router that splits it first. */
const HARMLESS = /%(?!2f|5c|25|00)([0-7][\da-f])|(?:%[89a-f][\da-f])+/gi;
/** What strict decoders leave and loose ones take: `%u002f`, and bytes that are not UTF-8. */
const LOOSE = /%u([\da-f]{4})|%([0-7][\da-f])|(?:%[89a-f][\da-f])+/gi;

/** The least code point that needs one more byte, two, and three, in UTF-8. */
const LEAST = [0, 0x80, 0x800, 0x10000];

/** A NUL, or a segment of dots for an origin that cuts parameters and spaces off. */
const HIDDEN = /[/\\](?!\.{3,}(?:[/\\;?#]|$))[\s\p{Cc}]*\.[.\s\p{Cc}]*(?:[/\\;?#]|$)|\0/u;

/** The first segment of what Turnpike itself answers. */
const RESERVED = "_turnpike";

/** What an origin may do with a path besides decoding it. */
const STEPS: readonly ((path: string) => string)[] = [
  // Tomcat, Jetty, Spring: parameters of each segment.
  (path) => path.replace(/;[^/]*/g, ""),
  // Fastify 4: all behind a semicolon.
  (path) => path.replace(/;.*/s, ""),
  // Servers that decode first take these for the start of a query or a fragment.
  (path) => path.replace(/[?#].*/s, ""),
  // Windows, Node's `url`.
  (path) => path.replaceAll("\\", "/"),
  // What Windows takes for an ASCII letter or a slash.
  bestFit,
  // URL parsers.
  (path) => path.replace(/[\t\n\r]/g, ""),
  // Windows and URL parsers, at the end of a name or of all.
  (path) => path.replace(/(?<![.\s\p{Cc}])[.\s\p{Cc}]+(?=\/|$)/gu, ""),
  // nginx.
  (path) => path.replace(/\/\/+/g, "/"),
  // `new URL(request.url, base)` takes the first segment behind two slashes for a host.
  (path) => path.replace(/^\/\/+[^/]*/, "") || "/",
  // Routers that split first decode each segment by itself.
  decodeSegments,
];

/** The last odd URL and its readings: a request is read more than once. */
let last: { url: string; hasDots: boolean; readings: readonly string[] | undefined } | undefined;

/**
 * Returns the readings of a URL's path, or undefined for a path that is refused.
 *
 * In one case, and without a slash at the end, so the root is empty. An odd path has readings with
 * its empty segments too, those at the end included, since some origins keep them.
 *
 * @param resolvesDots whether what answers the request gets its path with dots resolved, as behind
 *   the gate. Hono's router resolves none, so in an own app such a path is refused: browsers and
 *   clients resolve dots before they send a request
 * @example readingsOf("https://a.example/Login;v=1") // ["/login;v=1", "/login"]
 */
export function readingsOf(url: string, resolvesDots = true): readonly string[] | undefined {
  const plain = PLAIN_URL.exec(url)?.[1];
  if (plain !== undefined) return [plain.toLowerCase()];
  if (last?.url !== url) {
    const path = pathnameOf(url);
    const readings = path === undefined ? path : explore(path);
    const text = routerPath(url);
    const hasDots = HIDDEN.test(text);
    const more = hasDots ? [] : [text, withoutSlash(text)];
    last = { url, hasDots, readings: readings && [...new Set([...readings, ...more])] };
  }
  return last.hasDots && !resolvesDots ? undefined : last.readings;
}

/** Is there nothing in a URL for which the gate would look at its path? */
export function isOrdinary(url: string): boolean {
  return (
    !url.includes("%") &&
    !url.includes(";") &&
    !/_turnpike|[^!-~]/i.test(url) &&
    !ODD_HOST.test(url)
  );
}

/**
 * Could anyone read this path as one of Turnpike's own?
 *
 * One rule for the gate: what the router takes for the API asks for a token; any other path in
 * which `_turnpike` can be read, in whatever case, place and encoding, is answered with 404, since
 * it may carry that token. Nothing of either is ever forwarded.
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

/** Brings letters into one case, as readings have them. `ẞ` and `ss` become one, too. */
export function fold(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase();
}

/** Decodes what is not structure, and leaves `%2F`, `%5C` and `%25` as they are. */
export function decodeSegments(path: string): string {
  return decode(path, HARMLESS);
}

/** Decodes what is UTF-8, and leaves the rest as it is. */
export function decodeUtf8(text: string): string {
  return decode(text, ENCODED);
}

/**
 * The path that would be forwarded; undefined for a URL that cannot be read, or not in one way. The
 * runtime's URL is the request line's, dots and all, behind whatever the client sent as `Host`.
 */
function pathnameOf(url: string): string | undefined {
  return ODD_HOST.test(url) ? undefined : parseUrl(url)?.pathname;
}

/** The path as Hono's router takes it, from the URL's text. */
function routerPath(url: string): string {
  return fold(decodeSegments(PATH_TEXT.exec(url)?.[1] ?? ""));
}

/** Takes every step from every path that a step leads to. */
function explore(path: string): readonly string[] | undefined {
  const text = decodeSegments(path);
  const fitted = bestFit(text);
  // Letters alone, in whatever script.
  if (!NEEDS_STEPS.test(text) && !NEEDS_STEPS.test(fitted))
    return [...new Set([text, fitted].map(withoutSlash))];
  if (path.length > MAX_ODD_CHARS || isHidden(path)) return undefined;
  const seen = new Set([path]);
  let decodable = [path];
  let chars = 0;
  for (let decodings = 0; ; decodings++) {
    // The list grows while it is walked.
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

/** Tries the chain of steps that most attacks need: most are refused so at little cost. */
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

/** Writes wide letters, and what looks like a slash, as Windows may. */
function bestFit(path: string): string {
  return path
    .normalize("NFKC")
    .replace(/[⁄∕╱⧸]/g, "/")
    .replace(/[∖⧵¥₩]/g, "\\");
}

/** Decodes once, from left to right: what comes out is not read again. */
function decode(text: string, encoded: RegExp): string {
  return text.replace(encoded, (run, ascii?: string) =>
    ascii ? fromHex(ascii) : fromBytes(run, false),
  );
}

function decodeLoosely(text: string): string {
  return text.replace(LOOSE, (run, unit?: string, ascii?: string) => {
    const hex = unit ?? ascii;
    return hex ? fromHex(hex) : fromBytes(run, true);
  });
}

function fromHex(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/**
 * Decodes UTF-8 without `decodeURIComponent`, which takes 20 µs to throw.
 *
 * @param run encoded bytes beyond ASCII
 * @param isLoose also decodes overlong forms, and other bytes as Latin-1; else these stay encoded
 */
function fromBytes(run: string, isLoose: boolean): string {
  const bytes = run.slice(1).split("%");
  let text = "";
  for (let at = 0; at < bytes.length; at++) {
    const lead = Number.parseInt(bytes[at] as string, 16);
    const length = lead < 0xc0 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    let code = lead & (0x3f >> length);
    let read = 0;
    while (read < length) {
      const byte = Number.parseInt(bytes[at + read + 1] ?? "", 16);
      if (byte >> 6 !== 2) break;
      code = (code << 6) | (byte & 0x3f);
      read++;
    }
    const isWhole = length > 0 && read === length && code <= 0x10ffff;
    if (isWhole && (isLoose || (code >= (LEAST[length] as number) && code >> 11 !== 0x1b))) {
      text += String.fromCodePoint(code);
      at += length;
    } else text += isLoose ? String.fromCharCode(lead) : `%${bytes[at]}`;
  }
  return text;
}
