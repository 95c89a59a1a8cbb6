/**
 * What a request says under a name that a policy's key is made of: a header, a cookie, a parameter
 * of the query.
 *
 * Servers read such values in many ways, so a value is read here as the most lenient of them would:
 * two spellings of one value are one key.
 */
import { decodeUtf8 } from "../match/path.ts";

/** Stands for a value that is absent, or different from reader to reader; no header has a NUL. */
export const MISSING = "\0";

/** A scheme and one token behind it, as `Bearer` and `Basic` have it; or a token by itself. */
const CREDENTIALS = /^[\s,]*(?:([^\s,]+)\s+([^\s,]+)(?![^\s,])|([^\s,]+)(?=,|$))/;
/** A parameter such as `username="x"`: what a scheme like `Digest` has instead of a token. */
const PARAMETER = /^[^=]+=[^=]/;
/** Where any reader of cookies could see a name, those that split at commas and blanks included. */
const COOKIE_NAMES = /(?:^|[;,\s])([^\s;,="]+)\s*=/g;
/** Behind a blank, whatever is not mere words ends a value for Python; so do its flags. */
const BEHIND_VALUE = /\s(?:\S*[^\w.\s-]|(?:secure|httponly|partitioned)(?!\S))/i;
/** A value without quotes, as Python has it, in front of a blank. */
const PYTHON_VALUE = /^[!#-:<-[\]-~]+(?=\s)/;
const QUOTED = /^"((?:[^"\\]|\\.)*)"/;
/** A character escaped as Python and RFC 2109 do in quotes. */
const ESCAPED = /\\(?:([0-3][0-7]{2})|(.))/g;

/** A value, and the text that says it and nothing else. */
export interface RequestValue {
  value: string;
  /** Absent where the text stays as it is; empty where nothing is left of it. */
  normalized?: string;
}

/**
 * Reads a header. `Authorization` counts by its token, whatever blanks and scheme are before it:
 * many servers look at the token only. `Basic` stays apart, and any spelling of its Base64 is one.
 */
export function readHeader(text: string | null, name: string): RequestValue {
  if (text === null) return { value: MISSING };
  if (name.toLowerCase() === "authorization") return readCredentials(text);
  if (!text.includes(",")) return { value: text };
  // Two lines arrive as one text; set anew they leave as one line.
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

/** Decoders skip what is not of the alphabet, know both alphabets, and drop the last bits. */
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
 * Reads a cookie: the first of that name. The normalized text leaves out wherever else some server
 * could find it: names that differ in case, encoding, or `.` and `_`, and pairs behind a comma or a
 * blank. Two lines of cookies arrive with a comma between them, and leave as one that all can read.
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
  for (const [index, pair] of pairs.entries()) {
    const [match, found = ""] = pair;
    const start = pair.index + match.indexOf(found);
    if (start < at || !isSought(pair)) continue;
    const from = pair.index + match.length;
    const semicolon = text.indexOf(";", from);
    const most = semicolon < 0 ? text.length : semicolon;
    const rest = pairs.slice(index + 1);
    const { raw, end } = cookieValue(text.slice(0, most), from, rest, isSought);
    const before = text.slice(at, start);
    const isChosen = value === undefined && found === name;
    isPlain &&= isChosen && /^\s*$|;\s*$/.test(before) && !text.slice(end, most).trim();
    kept.push(before);
    if (isChosen) {
      value = decoded(unescaped(BEHIND_VALUE.test(raw) ? pythonValue(raw) : raw));
      kept.push(`${name}=${raw}`);
    }
    // What touches a closing quote belongs to no pair.
    at = /^[,\s]/.test(text.slice(end, most)) ? end : most;
  }
  if (isPlain) return { value: value ?? MISSING };
  kept.push(text.slice(at));
  return { value: value ?? MISSING, normalized: joinPairs(kept) };
}

/** Finds the end of a value: where its quotes close, or where another pair begins. */
function cookieValue(
  text: string,
  from: number,
  rest: readonly RegExpExecArray[],
  isSought: (pair: readonly string[]) => boolean,
): { raw: string; end: number } {
  const start = from + text.slice(from).search(/\S|$/);
  const whole = text.slice(start);
  const quoted = QUOTED.exec(whole)?.[0];
  if (quoted !== undefined) return { raw: quoted, end: start + quoted.length };
  // Text in JSON may look like a pair.
  const isJson = /^[{[]+"/.test(whole);
  const next = (isJson ? rest.find(isSought) : rest[0])?.index;
  const raw = trimEnd(text.slice(start, Math.max(start, next ?? text.length)));
  return { raw, end: start + raw.length };
}

/** An expression would take quadratic time, and clients write this. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /[,\s]/.test(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** Returns what Python reads where words and other things follow a value; others read all of it. */
function pythonValue(raw: string): string {
  return trimEnd(PYTHON_VALUE.exec(raw)?.[0] ?? raw);
}

function joinPairs(parts: readonly string[]): string {
  const pairs = parts.flatMap((part) => part.split(";"));
  return pairs
    .map((pair) =>
      pair
        .replace(/^[,\s]+/, "")
        .trim()
        .replace(/,$/, ""),
    )
    .filter((pair) => pair)
    .join("; ");
}

/**
 * Reads a parameter of the query. Where it stands there several times with different values, some
 * servers take the first, some the last, some all: then it counts as absent.
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

/** Could such a text be another spelling of a name? Spares most of them the work. */
function mayBeSpelling(text: string, name: string): boolean {
  return text.length === name.length || /[%+[\s?]/.test(text);
}

/** ASP.NET ignores case; PHP makes `_` of what its variables cannot have, and lists of `name[]`. */
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

/** Takes the quotes off, and what is escaped in them, as Python and RFC 2109 do. */
function unescaped(raw: string): string {
  if (QUOTED.exec(raw)?.[0].length !== raw.length) return raw;
  return raw
    .slice(1, -1)
    .replace(ESCAPED, (_, octal: string | undefined, character: string) =>
      octal ? String.fromCharCode(Number.parseInt(octal, 8)) : character,
    );
}

/** Decodes what is UTF-8, and leaves the rest in one spelling. */
function decoded(text: string): string {
  if (!text.includes("%")) return text;
  return decodeUtf8(text.replace(/%[\da-f]{2}/gi, (run) => run.toUpperCase()));
}
