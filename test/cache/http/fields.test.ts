/** Fields as the HTTP cache reads and writes them: dates, `Vary`, conditions, `Cache-Status`. */
import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { cacheStatus } from "../../../src/cache/http/cache-status.ts";
import { isNotModified } from "../../../src/cache/http/conditional.ts";
import { parseHttpDate } from "../../../src/cache/http/http-date.ts";
import { decode, encode } from "../../../src/cache/http/stored.ts";
import { chosenKey, newNames } from "../../../src/cache/http/vary.ts";

const NOW = Date.UTC(2036, 10, 22, 12);

describe("a date", () => {
  it.each([
    ["Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
    ["SUN, 06 NOV 1994 08:49:37 gmt", "1994-11-06T08:49:37.000Z"],
    ["Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"],
    ["Saturday, 06-Nov-86 08:49:37 GMT", "2086-11-06T08:49:37.000Z"],
    ["Thursday, 06-Nov-87 08:49:37 GMT", "1987-11-06T08:49:37.000Z"],
    ["Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"],
    ["Tue, 29 Feb 2028 23:59:60 GMT", "2028-03-01T00:00:00.000Z"],
  ])("reads %s", (text, iso) => {
    expect(new Date(parseHttpDate(text, NOW) as number).toISOString()).toBe(iso);
  });

  it.each([
    "0",
    "",
    "1994-11-06T08:49:37Z",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Abc 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
  ])("is none of HTTP: %j", (text) => {
    expect(parseHttpDate(text, NOW)).toBeUndefined();
  });
});

describe("Vary", () => {
  it("names the fields that the key has not, sorted and in lower case", () => {
    expect(newNames("X-B, accept, x-b,, Accept-Encoding", ["accept"])).toEqual(["x-b"]);
    expect(newNames(null, [])).toEqual([]);
  });

  it.each([
    ["Foo", "1, 2", "1,2", true],
    ["Foo", " 1 ;q=1 ,2", "1;q=1,2", true],
    ["Foo", "a", "A", false],
    ["Foo", "1, 2", "2, 1", false],
    ["Foo", '"1, 2"', '"1,2"', false],
    ["Foo", "", undefined, false],
    ["Accept-Language", "en, DE;q=0.5", "EN,de; q=0.5", true],
    // Many servers take the first, though the standard says nothing of an order.
    ["Accept-Language", "en, de", "de, en", false],
  ])("of %s: %j and %j choose the same: %s", (name, one, other, isSame) => {
    const keyOf = (value: string | undefined) =>
      chosenKey(
        "k",
        "id",
        ["foo", "accept-language"],
        new Headers(value === undefined ? {} : { [name]: value }),
      );
    expect(keyOf(one) === keyOf(other)).toBe(isSame);
  });

  it("keeps values of two fields apart", () => {
    const keyOf = (a: string, b: string) => chosenKey("k", "id", ["a", "b"], new Headers({ a, b }));
    expect(keyOf('x","y', "z")).not.toBe(keyOf("x", 'y","z'));
  });
});

describe("If-None-Match", () => {
  it.each([
    ['"a"', '"a"', true],
    ['W/"a"', '"a"', true],
    ['"a"', 'W/"a"', true],
    ['"x", "a,b", W/"y"', '"a,b"', true],
    ["*", '"a"', true],
    ["*", undefined, true],
    ['"a"', '"b"', false],
    ["a", '"a"', false],
    ['"a"', undefined, false],
    ["", "", false],
  ])("%s, of a response with %s: %s", (tags, tag, isMatch) => {
    const response = new Headers(tag === undefined ? {} : { ETag: tag });
    const request = new Headers({ "If-None-Match": tags });
    expect(isNotModified(request, 200, response, NOW)).toBe(isMatch);
    expect(isNotModified(request, 404, response, NOW)).toBe(false);
  });
});

describe("Cache-Status", () => {
  it.each([
    [{ hit: true, ttlMs: 4_999 }, "turnpike; hit; ttl=4"],
    [{ hit: true, ttlMs: -1 }, "turnpike; hit; ttl=-1"],
    [{ forward: "miss", stored: true }, "turnpike; fwd=miss; stored"],
    [{ forward: "miss", detail: "set-cookie" }, "turnpike; fwd=miss; detail=set-cookie"],
    [
      { forward: "stale", forwardStatus: 304, ttlMs: 0, collapsed: true },
      "turnpike; fwd=stale; fwd-status=304; ttl=0; collapsed",
    ],
  ] as const)("%j reads %s, also for a parser of structured fields", (status, text) => {
    expect(cacheStatus(null, status)).toBe(text);
    const both = parseList(cacheStatus('Other; hit; detail="x"', status));
    expect(both.map(([name]) => String(name))).toEqual(["Other", "turnpike"]);
  });
});

describe("what is stored", () => {
  it("is read as it was written", () => {
    const life = {
      ...{ initialAgeMs: 1, lifetimeMs: 2, staleMs: 3, staleOnErrorMs: 4 },
      ...{ isValidatedAlways: false, isNeverStale: true },
    };
    const headers: [string, string][] = [["x-text", "Gr\u00fc\u00dfe \u{1f600}"]];
    for (const body of [new Uint8Array(), Uint8Array.of(0, 255, 10)]) {
      const response = { kind: "response" as const, life, status: 404, headers, body };
      // As a part of other bytes, too.
      const bytes = encode(response);
      const within = new Uint8Array([9, 9, ...bytes]).subarray(2);
      expect(decode(within)).toEqual(response);
    }
    const choice = { kind: "choice" as const, id: "i", names: ["accept"] };
    expect(decode(encode(choice))).toEqual(choice);
    expect(decode(encode({ kind: "passing" }))).toEqual({ kind: "passing" });
  });
});
