/**
 * The path of a request, as whoever stands behind the gate may read it.
 *
 * No one form is safe for all origins: one that decodes before it splits (nginx) reads
 * `/x%2f..%2flogin` as `/login`, one that splits first (Express) as a single odd segment. So an odd
 * path has two readings, and a policy is met if either meets it. Case never tells paths apart, since
 * many origins ignore it. The price: what an origin holds apart may be counted together.
 */
import { tryDecodeURIComponent } from "hono/utils/url";

/** A URL whose path reads the same to everyone, but for its case and a slash at its end. */
const PLAIN_URL =
  /^https?:\/\/[\w.:[\]-]+((?:\/[\w~@!$&'()*+,=:-][\w.~@!$&'()*+,=:-]*)*)\/?(?:\?|$)/;

/** Encoded, and never a part of the path's structure. */
const HARMLESS = /%(?!2f|5c|3b|25|3f|23)([2-7][\da-f])/gi;
const ASCII = /%([0-7][\da-f])/gi;
const BEYOND_ASCII = /(?:%[89a-f][\da-f])+/gi;

/** As many hops are known to decode one after the other; each costs time that a client chooses. */
const MAX_DECODINGS = 3;

/** The first segment of what Turnpike itself answers. */
const OWN = "_turnpike";

/**
 * Returns the readings of a URL's path: one, or the stricter and the looser. In small letters, dots
 * resolved, no doubled slashes, none at the end.
 *
 * @example pathsOf("https://a.example/x%2f..%2fLogin;v=1/") // ["/x%2f..%2flogin;v=1", "/login"]
 */
export function pathsOf(url: string): [strict: string, ...loose: string[]] {
  const plain = PLAIN_URL.exec(url)?.[1];
  if (plain !== undefined) return [plain.toLowerCase() || "/"];
  const path = pathnameOf(url);
  const strict = resolve(decode(path, HARMLESS).toLowerCase());
  // Behind these, servers look for parameters, a query, a fragment, or the end of a C string.
  const loose = resolve(
    decodeAll(path)
      .replace(/[;?#\0][^/\\]*/g, "")
      .replaceAll("\\", "/"),
  );
  return loose === strict ? [strict] : [strict, loose];
}

/**
 * Could anyone read this path as one of Turnpike's own?
 *
 * One rule for the gate: what the router takes for the API asks for a token; any other path in
 * which `_turnpike` can be read, in whatever case, place and encoding, is answered with 404, since
 * it may carry that token. Nothing of either is ever forwarded.
 */
export function couldBeOwn(url: string): boolean {
  return /%|_turnpike/i.test(url) && decodeAll(pathnameOf(url)).includes(OWN);
}

/** The path that would be forwarded. The runtime's URL is the request line's, dots and all. */
function pathnameOf(url: string): string {
  return URL.parse(url)?.pathname ?? "/";
}

function decodeAll(path: string): string {
  let text = path;
  for (let n = 0; n < MAX_DECODINGS; n++) text = decode(text, ASCII);
  // What URL parsers drop, and wide letters that some servers take for narrow ones.
  return text
    .replace(/[\t\n\r]/g, "")
    .normalize("NFKC")
    .toLowerCase();
}

function decode(text: string, ascii: RegExp): string {
  return text
    .replace(ascii, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(BEYOND_ASCII, (run) => tryDecodeURIComponent(run));
}

function resolve(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "." && segment !== "") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}
