/** Fields of an origin behind the gate: read by an independent parser, and never loosened. */
import "../fuzz/runs.ts";
import fc from "fast-check";
import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { laterRetryAfter, legacyHeaders } from "../../src/http/gateway/origin-legacy.ts";
import { mergeFields } from "../../src/http/gateway/origin-limits.ts";

const OURS = { policies: '"default";q=10;w=60', quotas: '"default";r=5;t=30' };

function merge(quotas: string, policies = "") {
  const headers = new Headers();
  if (quotas) headers.set("RateLimit", quotas);
  if (policies) headers.set("RateLimit-Policy", policies);
  return mergeFields(headers, OURS);
}

/** What a client reads of a field: each policy's name, and its parameters. */
function read(field: string): [name: string, parameters: Record<string, unknown>][] {
  return parseList(field).map(([name, parameters]) => [
    name as string,
    Object.fromEntries(parameters),
  ]);
}

describe("RateLimit fields of an origin", () => {
  it("stand beside ours, the stricter in front", () => {
    expect(
      merge('"burst";r=3;t=1, "day";r=900;t=80000;pk=:YQ==:', '"burst";q=5;w=1, "day";q=1'),
    ).toEqual({
      quotas: '"burst";r=3;t=1, "day";r=900;t=80000;pk=:YQ==:, "default";r=5;t=30',
      policies: '"burst";q=5;w=1, "day";q=1, "default";q=10;w=60',
    });
    expect(merge('"burst";r=6').quotas).toBe('"default";r=5;t=30, "burst";r=6');
  });

  it("get another name if a policy of ours has theirs", () => {
    expect(merge('"default";r=1;t=2', '"default";q=5;w=2')).toEqual({
      quotas: '"origin.default";r=1;t=2, "default";r=5;t=30',
      policies: '"origin.default";q=5;w=2, "default";q=10;w=60',
    });
  });

  it("become one with ours if both tell of the same policy", () => {
    expect(merge('"default";r=1;t=2', OURS.policies)).toEqual({
      quotas: '"default";r=1;t=30',
      policies: OURS.policies,
    });
    expect(merge('"default";r=9;t=99', OURS.policies).quotas).toBe('"default";r=5;t=99');
  });

  it.each([
    ["limit=10, remaining=3, reset=5", "10;w=1, 100;w=60", ["origin", 3], 3],
    ["limit=10, remaining=3, reset=5", "", ["origin", 3], 2],
    ["limit=10,remaining=3", "10", ["origin", 3], 2],
  ])("of an older draft are put into today's form: %s", (quotas, policies, first, count) => {
    const merged = merge(quotas, policies);
    const [[name, { r }] = ["", {}]] = read(merged.quotas) as [[string, { r: number }]];
    expect([name, r]).toEqual(first);
    expect(read(merged.policies)).toHaveLength(count);
  });

  it.each([
    "many",
    "unlimited",
    '"a";r=1;t=2;',
    '"unfinished;r=1',
    '"a" ;r=1',
    '"a";r=1.5',
    '"a";r=-1',
    '"a";r',
    '"a";t=1',
    '"a";R=1',
    '"a";r=1;pk=:Y:',
    "a;r=1",
    '"é";r=1',
    '("a";r=1)',
    ",",
  ])("that no client can read do not make ours unreadable: %s", (odd) => {
    expect(merge(odd, odd)).toEqual(OURS);
  });

  it("leave ours readable, and get no looser, whatever they say", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ...['"a"', '"default"', ";r=", ";t=", ";q=", ", ", ",", ";", "=", " ", '"', "\\"],
      ),
      fc.constantFrom("remaining=", "limit=", "reset=", "w=1", ":YQ==:", "?1", "tok", "1.5", "-1"),
      fc.nat({ max: 2_000 }).map(String),
      fc.string({ unit: "grapheme-ascii", maxLength: 3 }),
    );
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("").trim());
    fc.assert(
      fc.property(text, text, (quotas, policies) => {
        const merged = merge(quotas, policies);
        const left = read(merged.quotas);
        expect(read(merged.policies).map(([name]) => name)).toContain("default");
        const [, ours] = left.find(([name]) => name === "default") ?? [];
        expect(ours?.r).toBeLessThanOrEqual(5);
        expect(ours?.t).toBeGreaterThanOrEqual(30);
        const least = Math.min(...left.map(([, { r }]) => r as number));
        expect(left[0]?.[1].r).toBe(least);
        for (const [name, { r }] of readIfReadable(quotas)) {
          if (Number.isInteger(r) && (r as number) >= 0) {
            expect(least, name).toBeLessThanOrEqual(r as number);
          }
        }
      }),
    );
  });
});

function readIfReadable(field: string): [name: string, parameters: Record<string, unknown>][] {
  try {
    return read(field).filter(([name]) => typeof name === "string");
  } catch {
    return [];
  }
}

const NOW_MS = Date.UTC(2026, 10, 25, 12, 0, 0);
const SERVICE = { quota: 10, remaining: 2, seconds: 30 };

function legacy(before: Record<string, string>, isWritten = false): Record<string, string> {
  const headers = new Headers(before);
  for (const [name, value] of legacyHeaders(headers, SERVICE, isWritten, NOW_MS)) {
    headers.set(name, value);
  }
  return Object.fromEntries(headers);
}

describe("legacy fields of an origin", () => {
  it.each(["X-RateLimit", "RateLimit", "X-Rate-Limit"])("are never loosened: %s", (family) => {
    const [limit, remaining, reset] = ["Limit", "Remaining", "Reset"].map((part) =>
      `${family}-${part}`.toLowerCase(),
    ) as [string, string, string];
    expect(legacy({ [limit]: "100", [remaining]: "99", [reset]: "5" })).toEqual({
      [limit]: "10",
      [remaining]: "2",
      [reset]: "30",
    });
    const stricter = { [limit]: "5", [remaining]: "1", [reset]: "3600" };
    expect(legacy(stricter)).toEqual(stricter);
    expect(legacy({ [limit]: "5", [remaining]: "4", [reset]: "3600" })[remaining]).toBe("2");
  });

  it("keep the origin's way of writing a time", () => {
    const reset = (value: string) =>
      legacy({ "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": value })["x-ratelimit-reset"];
    const seconds = NOW_MS / 1_000;
    expect(reset(String(seconds + 10))).toBe(String(seconds + 30));
    expect(reset(String(seconds + 60))).toBe(String(seconds + 60));
    expect(reset(String(NOW_MS + 10))).toBe(String(NOW_MS + 30_000));
    expect(reset("Wed, 25 Nov 2026 12:00:01 GMT")).toBe("Wed, 25 Nov 2026 12:00:30 GMT");
    expect(reset("2026-11-25T12:00:01Z")).toBe("2026-11-25T12:00:30.000Z");
    expect(reset("soon")).toBe("soon");
  });

  it("may be lists, and stay as they are without a number", () => {
    const remaining = (value: string) =>
      legacy({ "X-RateLimit-Remaining": value })["x-ratelimit-remaining"];
    expect(remaining("100, 3")).toBe("2");
    expect(remaining("100, 1")).toBe("100, 1");
    expect(remaining("9;w=60")).toBe("2");
    expect(remaining("unlimited")).toBe("unlimited");
  });

  it("are left out if neither the origin nor HEADERS asks for them", () => {
    expect(legacy({})).toEqual({});
    expect(legacy({ "X-RateLimit-Limit": "9" })).toEqual({ "x-ratelimit-limit": "9" });
    const ours = {
      "x-ratelimit-limit": "10",
      "x-ratelimit-remaining": "2",
      "x-ratelimit-reset": "30",
    };
    expect(legacy({}, true)).toEqual(ours);
    expect(legacy({ "X-RateLimit-Remaining": "unlimited" }, true)).toEqual(ours);
  });
});

describe("Retry-After of an origin", () => {
  it("lets nobody come back before there is quota", () => {
    const retry = (value?: string) =>
      laterRetryAfter(new Headers(value ? { "Retry-After": value } : {}), SERVICE, NOW_MS);
    expect(retry()).toBeUndefined();
    expect(retry("7")).toBe("30");
    expect(retry("31")).toBeUndefined();
    expect(retry("Wed, 25 Nov 2026 12:00:01 GMT")).toBe("Wed, 25 Nov 2026 12:00:30 GMT");
    expect(retry("later")).toBeUndefined();
  });
});
