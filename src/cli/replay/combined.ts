/**
 * The common and the combined log format, of Apache, nginx and many others:
 * `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /?a=1 HTTP/1.1" 200 123 "referer" "agent"`.
 *
 * Read byte by byte: a regular expression over a million lines takes longer than all the rest.
 */
import type { Clients } from "./clients.ts";
import { type LineReader, type LoggedValues, NO_REQUEST, NO_VALUES } from "./record.ts";
import { readCommonTime } from "./times.ts";

const SPACE = 0x20;
const COMMA = 0x2c;
const DASH = 0x2d;
const QUOTE = 0x22;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const BACKSLASH = 0x5c;
const DIGIT_0 = 0x30;
/** Characters of a time such as `17/May/2015:10:05:03 +0000`. */
const TIME_CHARS = 26;
/** Where the time of day begins in it, and what is behind that. */
const CLOCK = 12;
const ZONE = 20;

/** Referer and user agent, behind the status and the bytes. */
const AFTER_STATUS = /^ \S+(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?/;
const METHOD = /^[A-Za-z-]{1,20}$/;

/**
 * @param hasHost whether each line begins with the host, as Apache writes it for several hosts
 * @param wantsValues whether the host, the referer and the user agent are read
 */
export function combinedReader(
  clients: Clients,
  hasHost: boolean,
  wantsValues: boolean,
): LineReader {
  const day = Buffer.alloc(TIME_CHARS);
  let dayMs: number | undefined;

  /** Reads a time. Most lines have the day of the line before. */
  function timeAt(bytes: Buffer, from: number): number | undefined {
    let at = 0;
    while (at < TIME_CHARS && bytes[from + at] === day[at]) at = at === CLOCK - 1 ? ZONE : at + 1;
    if (at < TIME_CHARS) {
      bytes.copy(day, 0, from, from + TIME_CHARS);
      day.write("00:00:00", CLOCK);
      dayMs = readCommonTime(day.toString("latin1"));
    }
    const hours = twoDigits(bytes, from + CLOCK);
    const minutes = twoDigits(bytes, from + CLOCK + 3);
    const seconds = twoDigits(bytes, from + CLOCK + 6);
    if (dayMs === undefined || hours < 0 || minutes < 0 || seconds < 0) return undefined;
    return dayMs + ((hours * 60 + minutes) * 60 + seconds) * 1_000;
  }

  return (bytes, from, to) => {
    const hostEnd = hasHost ? find(bytes, SPACE, from, to) : from - 1;
    let clientEnd = find(bytes, SPACE, hostEnd + 1, to);
    // What proxies wrote may stand in place of the address: a list.
    while (bytes[clientEnd - 1] === COMMA) clientEnd = find(bytes, SPACE, clientEnd + 1, to);
    const time = find(bytes, OPEN, clientEnd, to) + 1;
    const request = time + TIME_CHARS + 3;
    if (clientEnd <= hostEnd + 1 || request >= to) return undefined;
    // Without a host in front, this is the name that nobody asks for any more (RFC 1413), or the
    // rest of a list of addresses.
    if (hasHost && (bytes[hostEnd + 1] === DASH || bytes[hostEnd - 1] === COMMA)) return undefined;
    if (bytes[request - 3] !== CLOSE || bytes[request - 1] !== QUOTE) return undefined;
    const atMs = timeAt(bytes, time);
    const requestEnd = findQuote(bytes, request, to);
    if (atMs === undefined || requestEnd >= to) return undefined;
    // Of a connection without a request, servers log "-" or nothing.
    if (requestEnd - request < 2) return NO_REQUEST;
    const methodEnd = find(bytes, SPACE, request, requestEnd);
    const method = methodOf(bytes, request, methodEnd);
    // HTTP/0.9 has no protocol behind the target.
    const targetEnd = find(bytes, SPACE, methodEnd + 1, requestEnd);
    if (method === undefined || targetEnd <= methodEnd + 1) return undefined;
    const status = requestEnd + 2;
    return {
      atMs,
      address: clients.ofBytes(bytes, hostEnd + 1, clientEnd),
      method,
      target: bytes.toString("latin1", methodEnd + 1, targetEnd),
      status: statusAt(bytes, status),
      values: wantsValues
        ? {
            ...headersIn(bytes.toString("latin1", status + 3, to)),
            ...(hasHost ? { host: bytes.toString("latin1", from, hostEnd) } : {}),
          }
        : NO_VALUES,
    };
  };
}

/** Returns a negative number if there are no two digits. */
function twoDigits(bytes: Buffer, at: number): number {
  const tens = (bytes[at] as number) - DIGIT_0;
  const ones = (bytes[at + 1] as number) - DIGIT_0;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function find(bytes: Buffer, byte: number, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== byte) at++;
  return at;
}

/** Finds the quote that ends a field. A backslash escapes the byte behind it. */
function findQuote(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

function methodOf(bytes: Buffer, from: number, to: number): string | undefined {
  if (to - from === 3 && bytes[from] === 0x47 && bytes[from + 1] === 0x45) return "GET";
  const text = bytes.toString("latin1", from, to);
  return METHOD.test(text) ? text : undefined;
}

function statusAt(bytes: Buffer, at: number): number {
  const digit = (place: number) => (bytes[at + place] ?? 0) - DIGIT_0;
  const status = digit(0) * 100 + digit(1) * 10 + digit(2);
  return status >= 100 && status <= 999 ? status : 0;
}

function headersIn(text: string): LoggedValues {
  const [, referer, userAgent] = AFTER_STATUS.exec(text) ?? [];
  return {
    referer: referer === "-" ? undefined : referer,
    userAgent: userAgent === "-" ? undefined : userAgent,
  };
}
