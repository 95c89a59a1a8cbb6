import { describe, expect, it } from "vitest";
import { DenialCache, MAX_DENIAL_MS } from "../../src/caller/denial-cache.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

const NOW_MS = 1_700_000_000_000;
const ASKED = {
  key: { hi: 1, lo: 2 },
  owner: "weur/0",
  policies: [parsePolicy({ limit: 1, window: "1d" })],
};

function cacheWith(retryAfterMs: number): DenialCache {
  const cache = new DenialCache();
  const verdict = { allowed: false, remaining: 0, retryAfterMs, resetMs: retryAfterMs, delayMs: 0 };
  cache.add(ASKED, [{ ...verdict, reason: "limited" }], {
    sentMs: NOW_MS,
    heardMs: NOW_MS,
    generation: cache.generation,
  });
  return cache;
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

  it("is nobody else's, though the hashes of both begin with the same 53 bits", () => {
    const cache = cacheWith(60_000);
    expect(cache.find({ ...ASKED, key: { hi: 1, lo: 3 } }, NOW_MS)).toBeUndefined();
    expect(cache.find(ASKED, NOW_MS)).toHaveLength(1);
  });
});
