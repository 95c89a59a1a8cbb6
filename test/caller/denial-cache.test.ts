import { describe, expect, it } from "vitest";
import { DenialCache, MAX_DENIAL_MS } from "../../src/caller/denial-cache.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";

const NOW_MS = 1_700_000_000_000;
const EPOCH = 7;
const ASKED = {
  key: { hi: 1, lo: 2 },
  owner: "weur/0",
  policies: [parsePolicy({ limit: 9, window: "1d" })],
};

function cacheWith(retryAfterMs: number, remaining = 0): DenialCache {
  const cache = new DenialCache();
  deny(cache, ASKED.key, 0, retryAfterMs, remaining);
  return cache;
}

function deny(cache: DenialCache, key: KeyHash, atMs: number, retryAfterMs: number, remaining = 0) {
  const verdict = { allowed: false, remaining, retryAfterMs, resetMs: retryAfterMs, delayMs: 0 };
  const sentMs = NOW_MS + atMs;
  const when = { sentMs, epoch: EPOCH, heardMs: sentMs, generation: cache.generation };
  cache.add({ ...ASKED, key }, [{ ...verdict, reason: "limited" }], when);
}

/** Hears that something else was allowed. */
function hear(cache: DenialCache, owner: string, epoch: number, atMs: number): void {
  const verdict = { allowed: true, remaining: 8, retryAfterMs: 0, resetMs: 9, delayMs: 0 };
  const sentMs = NOW_MS + atMs;
  const when = { sentMs, epoch, heardMs: sentMs, generation: cache.generation };
  cache.add({ ...ASKED, key: { hi: 3, lo: 4 }, owner }, [{ ...verdict, reason: "ok" }], when);
}

/** How many of 20 requests ask the owner. */
function asking(cache: DenialCache, atMs: number): number {
  const found = Array.from({ length: 20 }, () => cache.find(ASKED, NOW_MS + atMs));
  return found.filter((denial) => denial === undefined).length;
}

describe("a remembered denial", () => {
  it("has one request ask again just before its end, and all after it", () => {
    const cache = cacheWith(60_000);
    expect([0, 4_700, 4_800, 4_900, MAX_DENIAL_MS].map((ms) => asking(cache, ms))).toEqual([
      0, 0, 1, 0, 20,
    ]);
  });

  it("is not asked about again before the client may pass", () => {
    const cache = cacheWith(3_000);
    expect([0, 2_800, 2_999, 3_000].map((ms) => asking(cache, ms))).toEqual([0, 0, 0, 20]);
  });

  it("is let go of when it is over", () => {
    const cache = cacheWith(1_000);
    for (let n = 0; n < 10; n++) deny(cache, { hi: 10 + n, lo: 0 }, n, 1_000);
    expect(cache.size).toBe(11);
    deny(cache, { hi: 6, lo: 0 }, 1_005, 1_000);
    expect(cache.size).toBe(5);
  });

  it("is nobody else's, though the hashes of both begin with the same 53 bits", () => {
    const cache = cacheWith(60_000);
    expect(cache.find({ ...ASKED, key: { hi: 1, lo: 3 } }, NOW_MS)).toBeUndefined();
    expect(cache.find(ASKED, NOW_MS)).toHaveLength(1);
  });
});

describe("a denial whose owner was heard of since", () => {
  it("is believed for so long from then on, but never longer than the client has to wait", () => {
    const cache = cacheWith(12_000);
    hear(cache, ASKED.owner, EPOCH, 4_000);
    expect(asking(cache, 8_700)).toBe(0);
    hear(cache, ASKED.owner, EPOCH, 8_800);
    expect([9_000, 11_999, 12_000].map((ms) => asking(cache, ms))).toEqual([0, 0, 20]);
  });

  it("is asked about again where the owner has given something back", () => {
    const cache = cacheWith(60_000);
    hear(cache, ASKED.owner, EPOCH, 2_000);
    hear(cache, ASKED.owner, EPOCH + 1, 4_000);
    expect([4_700, MAX_DENIAL_MS].map((ms) => asking(cache, ms))).toEqual([0, 20]);
  });

  it("is not believed for what was heard earlier, or of another owner", () => {
    const cache = cacheWith(60_000);
    hear(cache, "weur/1", EPOCH, 4_000);
    hear(cache, ASKED.owner, EPOCH + 1, 3_000);
    hear(cache, ASKED.owner, EPOCH, 2_000);
    expect(asking(cache, MAX_DENIAL_MS)).toBe(20);
  });

  it("is asked about again where something was left, which others may have spent", () => {
    const cache = cacheWith(60_000, 3);
    hear(cache, ASKED.owner, EPOCH, 4_000);
    expect(asking(cache, MAX_DENIAL_MS)).toBe(20);
  });
});
