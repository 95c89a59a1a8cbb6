/**
 * The headers, cookies and query parameters that a policy's key names.
 *
 * Servers read such values in many ways. Here a value is read as the most lenient server reads it,
 * so that two spellings of one value are one key.
 */
import { decodeUtf8 } from "../match/percent.ts";
import { trimEnd } from "./trim-end.ts";

/**
 * Stands for a value that is absent, or that servers read differently. No header can have a NUL.
 */
export const MISSING = "\0";

/** A scheme and a token, as with `Bearer` and `Basic`, or a token by itself. */
const CREDENTIALS = /^[\s,]*(?:([^\s,]+)\s+([^\s,]+)(?![^\s,])|([^\s,]+)(?=,|$))/;
/** A parameter such as `username="x"`, which schemes like `Digest` have instead of a token. */
const PARAMETER = /^[^=]+=[^=]/;
/** A cookie's name, for any server: some also split at commas and blanks. */
const COOKIE_NAMES = /(?:^|[;,\s])([^\s;,="]+)\s*=/g;
/** Text after a blank that ends a value for Python: anything but words, or a flag's name. */
const BEHIND_VALUE = /\s(?:\S*[^\w.\s-]|(?:secure|httponly|partitioned)(?!\S))/i;
/** A value without quotes before a blank, as Python reads it. */
const PYTHON_VALUE = /^[!#-:<-[\]-~]+(?=\s)/;
/** What may stand between a value and the next pair. */
const GAP = /[,\s]/;
const QUOTED = /^"((?:[^"\\]|\\.)*)"/;
/** An escaped character in quotes (Python, RFC 2109). */
const ESCAPED = /\\(?:([0-3][0-7]{2})|(.))/g;

/** A value, and a header text that every server reads as this value. */
export interface RequestValue {
  value: string;
  /** Absent if the header needs no change; empty if the header must go. */
  normalized?: string;
}

/**
 * Reads a header. `Authorization` counts by its token, without the scheme, since many servers look
 * only at the token. `Basic` counts by its scheme and its decoded text.
 */
export function readHeader(text: string | null, name: string): RequestValue {
  if (text === null) return { value: MISSING };
  if (name.toLowerCase() === "authorization") return readCredentials(text);
  if (!text.includes(",")) return { value: text };
  // The runtime joins two header lines with a comma. A header that is set again is one line.
  const entries = new Set(text.split(",").map((entry) => entry.trim()));
  entries.delete("");
  const [value = ""] = entries.size > 1 ? [text] : entries;
  return { value, normalized: value };
}

function readCredentials(text: string): RequestValue {
  const [found = "", scheme = "", token, bare = ""] = CREDENTIALS.exec(text) ?? [];
  const kind = scheme.toLowerCase();
  if (kind === "basic" && /=[^=]/.test(token as string)) return { value: MISSING };
  if (!found || (token && kind !== "bearer" && PARAMETER.test(token))) {
    return { value: text.replace(/^\S+/, (word) => word.toLowerCase()).replace(/\s+/g, " ") };
  }
  const value = kind === "basic" ? `basic ${canonicalBase64(token as string)}` : (token ?? bare);
  const normalized = found.replace(/^[\s,]+/, "");
  return normalized === text ? { value } : { value, normalized };
}

/**
 * Writes Base64 in one way. Decoders skip other characters, accept both alphabets, and drop spare
 * bits.
 */
function canonicalBase64(text: string): string {
  const digits = text
    .replace(/[^\w+/-]/g, "")
    .replaceAll("-", "+")
    .replaceAll("_", "/");
  try {
    return btoa(atob(digits));
  } catch {
    return digits;
  }
}

/**
 * Reads the first cookie of a name. The normalized text has no other pair that a server could read
 * under that name: with another case or encoding, with `.` for `_`, or after a comma or a blank.
 * The runtime joins two header lines with a comma; the normalized text separates them with `;`.
 */
export function readCookie(text: string | null, name: string): RequestValue {
  if (!text) return { value: MISSING };
  const sought = canonicalName(name);
  const isSought = ([, found = ""]: readonly string[]) =>
    found === name || (mayBeSpelling(found, name) && canonicalName(found) === sought);
  const pairs = [...text.matchAll(COOKIE_NAMES)];
  const kept: string[] = [];
  let value: string | undefined;
  let isPlain = true;
  let at = 0;
  const ended = `${text};`;
  // Looked for once for all pairs in front of it, or a text without any would take squared time.
  let most = -1;
  for (const [index, pair] of pairs.entries()) {
    const [match, found = ""] = pair;
    const start = pair.index + match.indexOf(found);
    if (start < at || !isSought(pair)) continue;
    const from = pair.index + match.length;
    if (most < from) most = ended.indexOf(";", from);
    const { raw, end } = cookieValue(text.slice(0, most), from, pairs, index + 1, isSought);
    const before = text.slice(at, start);
    const isChosen = value === undefined && found === name;
    isPlain &&= isChosen && /^\s*$|;\s*$/.test(before) && !text.slice(end, most).trim();
    kept.push(before);
    if (isChosen) {
      value = decoded(unescaped(BEHIND_VALUE.test(raw) ? pythonValue(raw) : raw));
      kept.push(`${name}=${raw}`);
    }
    // Text directly after a closing quote belongs to no pair.
    at = /^[,\s]/.test(text.slice(end, most)) ? end : most;
  }
  if (isPlain) return { value: value ?? MISSING };
  kept.push(text.slice(at));
  return { value: value ?? MISSING, normalized: joinPairs(kept) };
}

/** Finds the end of a value: the closing quote, or the start of another pair. */
function cookieValue(
  text: string,
  from: number,
  pairs: readonly RegExpExecArray[],
  following: number,
  isSought: (pair: readonly string[]) => boolean,
): { raw: string; end: number } {
  const start = from + text.slice(from).search(/\S|$/);
  const whole = text.slice(start);
  const quoted = QUOTED.exec(whole)?.[0];
  if (quoted !== undefined) return { raw: quoted, end: start + quoted.length };
  // Text in JSON may look like a pair.
  const isJson = /^[{[]+"/.test(whole);
  let next = pairs[following];
  for (let at = following; isJson && next && !isSought(next); ) next = pairs[++at];
  const raw = trimEnd(text.slice(start, Math.max(start, next?.index ?? text.length)), GAP);
  return { raw, end: start + raw.length };
}

/** Returns the value that Python reads if other text follows it. Other servers read all of it. */
function pythonValue(raw: string): string {
  return trimEnd(PYTHON_VALUE.exec(raw)?.[0] ?? raw, GAP);
}

function joinPairs(parts: readonly string[]): string {
  const pairs = parts.flatMap((part) => part.split(";"));
  const bare = pairs.map((pair) => pair.trim().replace(/^[,\s]+|,$/g, ""));
  return bare.filter((pair) => pair).join("; ");
}

/**
 * Reads a query parameter. If it occurs with different values, it counts as absent: some servers
 * take the first, some the last, some all.
 */
export function readParameter(url: string, name: string): string {
  const [, query = ""] = /^[^?#]*\?([^#]*)/.exec(url) ?? [];
  const sought = canonicalName(name);
  let value: string | undefined;
  // Some servers split at `;` too.
  for (const pair of query.split(/[&;]/)) {
    if (pair.length < name.length) continue;
    const [left = ""] = pair.split("=", 1);
    if (left !== name && !(mayBeSpelling(left, name) && canonicalName(form(left)) === sought))
      continue;
    const found = form(pair.slice(left.length + 1)).trim();
    if (value !== undefined && value !== found) return MISSING;
    value = found;
  }
  return value ?? MISSING;
}

/** Returns true if the text may be another spelling of the name: a quick test that most fail. */
function mayBeSpelling(text: string, name: string): boolean {
  return text.length === name.length || /[%+[\s?]/.test(text);
}

/** ASP.NET ignores case. PHP turns `.` and blanks into `_`, and `name[]` into a list. */
function canonicalName(text: string): string {
  return decoded(text)
    .toLowerCase()
    .replace(/^[?\s]+|\[.*/gs, "")
    .trim()
    .replace(/[.\s]/g, "_");
}

function form(text: string): string {
  return decoded(text.replaceAll("+", " "));
}

/** Removes the quotes and escapes, as Python and RFC 2109 do. */
function unescaped(raw: string): string {
  if (QUOTED.exec(raw)?.[0].length !== raw.length) return raw;
  return raw
    .slice(1, -1)
    .replace(ESCAPED, (_, octal: string | undefined, character: string) =>
      octal ? String.fromCharCode(Number.parseInt(octal, 8)) : character,
    );
}

/** Decodes what is UTF-8, and writes other encoded bytes in upper case. */
function decoded(text: string): string {
  if (!text.includes("%")) return text;
  return decodeUtf8(text.replace(/%[\da-f]{2}/gi, (run) => run.toUpperCase()));
}
