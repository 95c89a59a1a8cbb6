import { describe, expect, it } from "vitest";
import {
  CHARGED_DENIAL_TRUST_MS,
  DENIAL_TRUST_MS,
  DenialCache,
} from "../../src/caller/denial-cache.ts";
import { OwnerPulse } from "../../src/caller/owner-pulse.ts";
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";

const NOW_MS = 1_700_000_000_000;
const EPOCH = 7;
const ASKED = {
  key: { hi: 1, lo: 2 },
  owner: "weur/0",
  policies: [parsePolicy({ limit: 9, window: "1d" })],
};

/** A cache, and what was last heard of owners. */
class WatchedCache extends DenialCache {
  readonly pulse: OwnerPulse;

  constructor(pulse = new OwnerPulse()) {
    super(pulse);
    this.pulse = pulse;
  }
}

function cacheWith(retryAfterMs: number, remaining = 0): WatchedCache {
  const cache = new WatchedCache();
  deny(cache, ASKED.key, 0, retryAfterMs, remaining);
  return cache;
}

function deny(cache: DenialCache, key: KeyHash, atMs: number, retryAfterMs: number, remaining = 0) {
  const verdict = { allowed: false, remaining, retryAfterMs, resetMs: retryAfterMs, delayMs: 0 };
  const sentMs = NOW_MS + atMs;
  const when = {
    sentMs,
    epoch: EPOCH,
    receivedAtMs: sentMs,
    generation: cache.generationOf(ASKED.key),
  };
  cache.add({ ...ASKED, key }, [{ ...verdict, reason: "limited" }], when);
}

/** Notes an answer of an owner about another key. */
function hear(cache: WatchedCache, owner: string, epoch: number, atMs: number): void {
  cache.pulse.hear(owner, epoch, NOW_MS + atMs);
}

/** How many of 20 requests ask the owner. */
function asking(cache: DenialCache, atMs: number): number {
  const found = Array.from({ length: 20 }, () => cache.find(ASKED, NOW_MS + atMs));
  return found.filter((denial) => denial === undefined).length;
}

describe("a remembered denial", () => {
  it("lets one request ask again just before its end, and all after it", () => {
    const cache = cacheWith(60_000);
    expect([0, 4_700, 4_800, 4_900, DENIAL_TRUST_MS].map((ms) => asking(cache, ms))).toEqual([
      0, 0, 1, 0, 20,
    ]);
  });

  it("is not asked about again before the client may pass", () => {
    const cache = cacheWith(3_000);
    expect([0, 2_800, 2_999, 3_000].map((ms) => asking(cache, ms))).toEqual([0, 0, 0, 20]);
  });

  it("is removed once it is over", () => {
    const cache = cacheWith(1_000);
    for (let n = 0; n < 10; n++) deny(cache, { hi: 10 + n, lo: 0 }, n, 1_000);
    expect(cache.size).toBe(11);
    deny(cache, { hi: 6, lo: 0 }, 1_005, 1_000);
    expect(cache.size).toBe(5);
  });

  it("does not answer for a key whose hash begins with the same 53 bits", () => {
    const cache = cacheWith(60_000);
    expect(cache.find({ ...ASKED, key: { hi: 1, lo: 3 } }, NOW_MS)).toBeUndefined();
    expect(cache.find(ASKED, NOW_MS)).toHaveLength(1);
  });
});

describe("a denial whose owner was heard of since", () => {
  it("is trusted for 5 s more, but never longer than the client has to wait", () => {
    const cache = cacheWith(12_000);
    hear(cache, ASKED.owner, EPOCH, 4_000);
    expect(asking(cache, 8_700)).toBe(0);
    hear(cache, ASKED.owner, EPOCH, 8_800);
    expect([9_000, 11_999, 12_000].map((ms) => asking(cache, ms))).toEqual([0, 0, 20]);
  });

  it("is asked about again after its owner has given something back", () => {
    const cache = cacheWith(60_000);
    hear(cache, ASKED.owner, EPOCH, 2_000);
    hear(cache, ASKED.owner, EPOCH + 1, 4_000);
    expect([4_700, DENIAL_TRUST_MS].map((ms) => asking(cache, ms))).toEqual([0, 20]);
  });

  it("is not renewed by an earlier answer, or by another owner", () => {
    const cache = cacheWith(60_000);
    hear(cache, "weur/1", EPOCH, 4_000);
    hear(cache, ASKED.owner, EPOCH + 1, 3_000);
    hear(cache, ASKED.owner, EPOCH, 2_000);
    expect(asking(cache, DENIAL_TRUST_MS)).toBe(20);
  });

  it("is asked about again if some units were left when it was given", () => {
    const cache = cacheWith(60_000, 3);
    hear(cache, ASKED.owner, EPOCH, 4_000);
    expect(asking(cache, DENIAL_TRUST_MS)).toBe(20);
  });
});

describe("denials of one key", () => {
  const policy = (input: Partial<PolicyInput>) => parsePolicy({ limit: 9, window: "1d", ...input });
  const denied = {
    allowed: false,
    remaining: 0,
    retryAfterMs: 60_000,
    resetMs: 60_000,
    delayMs: 0,
  };

  function remember(cache: DenialCache, policies: Policy[], generation = 0, key = ASKED.key) {
    const verdicts = policies.map(() => ({ ...denied, reason: "limited" as const }));
    const when = { sentMs: NOW_MS, epoch: EPOCH, receivedAtMs: NOW_MS, generation };
    cache.add({ ...ASKED, key, policies }, verdicts, when);
  }

  const found = (cache: DenialCache, policies: Policy[], atMs = 0) =>
    cache.find({ ...ASKED, policies }, NOW_MS + atMs)?.length;

  it("are remembered apart for each set of policies", () => {
    const cache = new WatchedCache();
    const [a, b] = [policy({ name: "a" }), policy({ name: "b" })];
    for (const policies of [[a], [b], [a, b]]) remember(cache, policies);
    expect([[a], [b], [a, b], [b, a]].map((each) => found(cache, each))).toEqual([
      1,
      1,
      2,
      undefined,
    ]);
  });

  it("answer for any policy that counts alike, and not for another limit", () => {
    const cache = new WatchedCache();
    remember(cache, [policy({})]);
    expect(found(cache, [policy({})])).toBe(1);
    expect(found(cache, [policy({ limit: 10 })])).toBeUndefined();
  });

  it("are forgotten beyond the last 64", () => {
    const cache = new WatchedCache();
    const policies = Array.from({ length: 76 }, (_, n) => policy({ name: `policy-${n}` }));
    for (const each of policies) remember(cache, [each]);
    expect(policies.map((each) => found(cache, [each]))).toEqual([
      ...Array(12).fill(undefined),
      ...Array(64).fill(1),
    ]);
  });

  it("are trusted for a second if the response decides on the charge", () => {
    const cache = new WatchedCache();
    const charged = [policy({ charge: "failure" })];
    remember(cache, charged);
    const last = CHARGED_DENIAL_TRUST_MS;
    expect([0, last - 251, last].map((ms) => found(cache, charged, ms))).toEqual([1, 1, undefined]);
    hear(cache, ASKED.owner, EPOCH, 900);
    expect(found(cache, charged, 1_600)).toBe(1);
    hear(cache, ASKED.owner, EPOCH + 1, 1_600);
    expect(found(cache, charged, 1_601)).toBeUndefined();
  });

  it("by concurrency are not trusted, but known", () => {
    const cache = new WatchedCache();
    const slots = [policy({ algorithm: "concurrency" })];
    remember(cache, slots);
    expect(found(cache, slots)).toBeUndefined();
    expect(cache.denies({ ...ASKED, policies: slots }, NOW_MS)).toBe(false);
    expect(cache.wasDenied({ ...ASKED, policies: slots })).toBe(true);
    const other = { ...ASKED, key: { hi: 1, lo: 3 }, policies: slots };
    expect(cache.wasDenied(other)).toBe(false);
  });

  it("are renewed by answers about other keys only if a refund would begin an epoch", () => {
    for (const [change, isRenewed] of [
      [{ cost: 3 }, true],
      [{ cost: 3, algorithm: "sliding-window" }, false],
      [{ cost: 1, algorithm: "sliding-window" }, true],
    ] as [Partial<PolicyInput>, boolean][]) {
      const cache = new WatchedCache();
      remember(cache, [policy(change)]);
      hear(cache, ASKED.owner, EPOCH, 4_000);
      expect(found(cache, [policy(change)], 6_000) !== undefined).toBe(isRenewed);
    }
  });

  it("are forgotten for one key: other keys' denials under way are kept", () => {
    const cache = new WatchedCache();
    const other = { hi: 8, lo: 9 };
    const [mine, others] = [cache.generationOf(ASKED.key), cache.generationOf(other)];
    cache.forget(ASKED.key);
    remember(cache, [policy({})], mine);
    remember(cache, [policy({})], others, other);
    expect(cache.size).toBe(1);
    cache.forget(other, "weur/1");
    expect(cache.size).toBe(1);
    cache.forget(other, ASKED.owner);
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });

  it("are bounded in bytes, however many policies they are under", () => {
    for (const count of [1, 5, 16]) {
      const cache = new DenialCache(undefined, 100_000);
      const policies = Array.from({ length: count }, (_, n) => policy({ name: `policy-${n}` }));
      let most = 0;
      for (let n = 0; n < 1_000; n++) {
        remember(cache, policies, 0, { hi: n, lo: 0 });
        most = Math.max(most, cache.bytes);
      }
      expect(most).toBeLessThanOrEqual(100_000);
      expect(most).toBeGreaterThan(98_000);
      expect(cache.denies({ ...ASKED, key: { hi: 0, lo: 0 }, policies }, NOW_MS)).toBe(false);
      expect(cache.denies({ ...ASKED, key: { hi: 999, lo: 0 }, policies }, NOW_MS)).toBe(true);
    }
  });

  it("are forgotten when a caller invents policies without end", () => {
    const cache = new WatchedCache();
    for (let n = 0; n < 10_001; n++)
      remember(cache, [policy({ limit: n + 1 })], 0, { hi: n, lo: 0 });
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });
});
