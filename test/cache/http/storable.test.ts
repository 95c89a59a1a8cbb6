/** What a shared cache may store, for how long, and what it may use it for: by literal times. */
import { describe, expect, it } from "vitest";
import { parseCacheControl } from "../../../src/cache/http/cache-control.ts";
import { storable } from "../../../src/cache/http/storable.ts";
import { useOf } from "../../../src/cache/http/usable.ts";

const NOW = Date.UTC(2036, 10, 22, 12);
const DATE = "Sat, 22 Nov 2036 12:00:00 GMT";
const NONE = { ttlMs: 0, staleForMs: 0 };

interface Case {
  request?: Record<string, string>;
  status?: number;
  defaults?: { ttlMs: number; staleForMs: number };
  delayMs?: number;
}

function storableOf(
  response: Record<string, string>,
  { request = {}, status = 200, defaults = NONE, delayMs = 0 }: Case = {},
) {
  const times = { askedMs: NOW - delayMs, receivedMs: NOW };
  return storable(new Headers(request), status, new Headers(response), times, defaults);
}

function lifeOf(response: Record<string, string>, options?: Case) {
  const life = storableOf(response, options);
  if (typeof life === "string") throw new Error(life);
  return life;
}

describe("the time in which a response is fresh", () => {
  it.each([
    [60, { "Cache-Control": "max-age=60" }],
    [60, { "Cache-Control": "MAX-AGE=60, foo, bar=baz" }],
    [60, { "Cache-Control": 'max-age="60"' }],
    [60, { "Cache-Control": "max-age=0060" }],
    [60, { "Cache-Control": 'x="max-age=1", max-age=60' }],
    [60, { "Cache-Control": "max-age=60, max-age=1" }],
    [2 ** 31, { "Cache-Control": "max-age=99999999999" }],
    [60, { "Cache-Control": "max-age=1, s-maxage=60" }],
    [60, { "Cache-Control": "max-age=60", Expires: "0" }],
    [60, { "Cache-Control": "max-age=1", "CDN-Cache-Control": "max-age=60" }],
    [60, { "Cache-Control": "no-store", "CDN-Cache-Control": "max-age=60", Expires: "0" }],
    [60, { "Cache-Control": "max-age=60", "CDN-Cache-Control": "max-age=5 &" }],
    [60, { Expires: "Sat, 22 Nov 2036 12:01:00 GMT", Date: DATE }],
    [60, { Expires: "Saturday, 22-Nov-36 12:01:00 GMT", Date: DATE }],
    [60, { Expires: "Sat Nov 22 12:01:00 2036", Date: DATE }],
    [60, { Expires: "Sat, 22 Nov 2036 12:01:00 GMT" }],
    [60, { Expires: "Sat, 22 Nov 2036 12:01:00 GMT", Date: "yesterday" }],
  ])("is %i s: %j", (seconds, response) => {
    expect(lifeOf(response as unknown as Record<string, string>).lifetimeMs).toBe(seconds * 1_000);
  });

  it.each([
    { "Cache-Control": "max-age=0" },
    { "Cache-Control": "max-age=-60" },
    { "Cache-Control": "max-age='60'" },
    { "Cache-Control": "max-age=60.5" },
    { "Cache-Control": "max-age=60s" },
    { "Cache-Control": "max-age = 60" },
    { "Cache-Control": "max-age=60, s-maxage=0" },
    { "Cache-Control": "max-age=60", "CDN-Cache-Control": 'max-age="60"' },
    { "Cache-Control": "max-age=60", Age: "60" },
    { "Cache-Control": "max-age=60", Date: "Sat, 22 Nov 2036 11:59:00 GMT" },
    { Expires: "0" },
    { Expires: "-1" },
    { Expires: DATE, Date: DATE },
    { Expires: "Sat, 22 Nov 2036 12:01:00 UTC", Date: DATE },
    { Expires: "Sat, 22 Nov 36 12:01:00 GMT", Date: DATE },
    { Expires: "Sat, 31 Feb 2037 12:01:00 GMT", Date: DATE },
    { Expires: "2036-11-22T12:01:00Z", Date: DATE },
  ])("is over at once, whatever the options say: %j", (response) => {
    const given = response as unknown as Record<string, string>;
    const defaults = { ttlMs: 60_000, staleForMs: 60_000 };
    expect(storableOf(given, { defaults })).toBe("no-freshness");
    const life = lifeOf({ ...given, ETag: '"1"' }, { defaults });
    expect(useOf(life, 0, new Map(), false)).toBe("validate");
  });

  it("is the options' only for statuses that may be stored without being told", () => {
    const defaults = { ttlMs: 60_000, staleForMs: 0 };
    for (const status of [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]) {
      expect(lifeOf({}, { status, defaults }).lifetimeMs).toBe(60_000);
    }
    for (const status of [201, 202, 302, 303, 307, 400, 401, 403, 429, 500, 502, 503, 504, 599]) {
      expect(storableOf({}, { status, defaults })).toBe("status");
      expect(lifeOf({ "Cache-Control": "public" }, { status, defaults }).lifetimeMs).toBe(60_000);
      expect(lifeOf({ "Cache-Control": "max-age=5" }, { status }).lifetimeMs).toBe(5_000);
    }
    for (const status of [206, 304]) {
      expect(storableOf({ "Cache-Control": "max-age=5" }, { status })).toBe("status");
    }
  });
});

describe("how old a response is when it comes", () => {
  it.each([
    [0, {}, 0],
    [30, { Age: "30" }, 0],
    [32, { Age: "30" }, 2_000],
    [30, { Age: "30, 0" }, 0],
    [0, { Age: "-30" }, 0],
    [0, { Age: "30.0" }, 0],
    [0, { Age: "old" }, 0],
    [10, { Date: "Sat, 22 Nov 2036 11:59:50 GMT" }, 2_000],
    [30, { Date: "Sat, 22 Nov 2036 11:59:50 GMT", Age: "30" }, 0],
    [0, { Date: "Sat, 22 Nov 2036 12:00:50 GMT" }, 0],
  ])("%i s: %j after %i ms", (seconds, fields, delayMs) => {
    const response = { "Cache-Control": "max-age=600", ...fields } as Record<string, string>;
    expect(lifeOf(response, { delayMs }).initialAgeMs).toBe(seconds * 1_000);
  });
});

describe("what may not be stored", () => {
  it.each([
    ["no-store", { "Cache-Control": "no-store, max-age=60" }],
    ["no-store", { "Cache-Control": "No-Store" }],
    ["private", { "Cache-Control": "private, max-age=60" }],
    ["private", { "Cache-Control": "max-age=60", "CDN-Cache-Control": "private" }],
    ["set-cookie", { "Cache-Control": "max-age=60, public", "Set-Cookie": "a=b" }],
    ["vary", { "Cache-Control": "max-age=60", Vary: "Accept, *" }],
    ["vary", { "Cache-Control": "max-age=60", Vary: ", *" }],
    ["encoding", { "Cache-Control": "max-age=60", "Content-Encoding": "br" }],
    ["encoding", { "Cache-Control": "max-age=60", "Content-Encoding": "zstd" }],
    ["encoding", { "Cache-Control": "max-age=60", "Content-Encoding": "deflate, gzip" }],
    ["stream", { "Cache-Control": "max-age=60", "Content-Type": "text/event-stream" }],
    ["no-freshness", { "Last-Modified": DATE }],
    ["no-freshness", { "Cache-Control": "no-cache" }],
  ])("%s: %j", (reason, response) => {
    expect(storableOf(response as unknown as Record<string, string>)).toBe(reason);
  });

  it("is an answer to a request with no-store", () => {
    const request = { "Cache-Control": "no-store" };
    expect(storableOf({ "Cache-Control": "max-age=60" }, { request })).toBe("no-store");
  });

  it("is an answer to a request with Authorization, unless it says that it is for all", () => {
    const request = { Authorization: "Bearer x" };
    const with_ = (directive: string) => storableOf({ "Cache-Control": directive }, { request });
    expect(with_("max-age=60")).toBe("authorization");
    expect(with_('max-age=60, private="x"')).toBe("authorization");
    for (const directive of ["public", "must-revalidate", "s-maxage=60"]) {
      expect(with_(`max-age=60, ${directive}`)).toMatchObject({ isValidatedAlways: false });
    }
  });

  it("is less where must-understand meets a status that is understood", () => {
    const response = { "Cache-Control": "max-age=60, no-store, must-understand" };
    expect(lifeOf(response).lifetimeMs).toBe(60_000);
    expect(storableOf(response, { status: 599 })).toBe("no-store");
  });

  it("are fields of the connection, and those that the response names", () => {
    const { omitted } = lifeOf({
      "Cache-Control": 'max-age=60, no-cache="A, b", private="c"',
      Connection: "close, D",
    });
    const names = ["a", "b", "c", "d", "connection", "keep-alive", "transfer-encoding", "upgrade"];
    expect(names.filter((name) => !omitted.has(name))).toEqual([]);
  });
});

describe("the use of a response that is fresh for 60 s", () => {
  const defaults = { ttlMs: 60_000, staleForMs: 20_000 };

  it.each([
    ["fresh", 0, {}, ""],
    ["fresh", 59, {}, ""],
    ["stale", 60, {}, ""],
    ["stale", 79, {}, ""],
    ["old", 80, {}, ""],
    ["stale", 89, { "Cache-Control": "max-age=60, stale-while-revalidate=30" }, ""],
    ["old", 90, { "Cache-Control": "max-age=60, stale-while-revalidate=30" }, ""],
    ["stale", 89, { "Cache-Control": "s-maxage=60, stale-while-revalidate=30" }, ""],
    ["old", 60, { "Cache-Control": "s-maxage=60" }, "max-stale"],
    ["old", 60, { "Cache-Control": "max-age=60, must-revalidate" }, "max-stale=9"],
    ["old", 60, { "Cache-Control": "max-age=60, proxy-revalidate" }, "max-stale"],
    ["validate", 0, { "Cache-Control": "max-age=60, no-cache", ETag: "x" }, "max-stale"],
    ["stale", 99, {}, "max-stale"],
    ["stale", 99, {}, "max-stale=39"],
    ["old", 99, {}, "max-stale=38"],
    ["old", 99, {}, "max-stale=x"],
    ["fresh", 30, {}, "no-cache"],
    ["fresh", 30, {}, "max-age=0"],
    ["fresh", 30, {}, "min-fresh=60"],
  ])("is %s after %i s: %j, %s", (use, seconds, response, asked) => {
    const life = lifeOf(response as unknown as Record<string, string>, { defaults });
    expect(useOf(life, seconds * 1_000, parseCacheControl(asked), false)).toBe(use);
  });

  it.each([
    ["old", 0, "no-cache"],
    ["fresh", 29, "max-age=30"],
    ["old", 30, "max-age=30"],
    ["fresh", 30, "max-age=x"],
    ["fresh", 30, "min-fresh=30"],
    ["old", 31, "min-fresh=30"],
    ["stale", 70, "max-age=30, max-stale=20"],
  ])("is %s after %i s where a client may ask for %s", (use, seconds, asked) => {
    const life = lifeOf({}, { defaults });
    expect(useOf(life, seconds * 1_000, parseCacheControl(asked), true)).toBe(use);
  });
});
