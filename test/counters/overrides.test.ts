/** Limits that operators give single keys, in place of a policy's own. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { Counters } from "../../src/counters/counters.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { UNLIMITED } from "../../src/limit/override.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };
const OTHER = { hi: 1, lo: 3 };
const HOUR_MS = 3_600_000;
const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

/** Counters whose clock stands still until it is moved on. */
class CountersRig {
  readonly counters = new Counters();
  readonly policy: CounterPolicy;
  atMs = START_MS;

  constructor(policy: object = {}) {
    this.policy = parsePolicy({ limit: 10, window: "1d", ...policy });
  }

  override(limit: number | null, forMs = HOUR_MS) {
    this.counters.overrides.set(KEY, this.policy, limit, this.atMs + forMs, this.atMs);
  }

  /** Spends a cost, and returns the verdict with the override's limit. */
  spend(cost = 1, key = KEY) {
    const check = { key, policies: [{ ...this.policy, cost }] };
    const verdicts = this.counters.check(check, this.atMs);
    return this.counters.overrides.noteLimits(check, verdicts, this.atMs)[0];
  }

  get left() {
    return this.counters.peek({ key: KEY, policies: [this.policy] }, this.atMs)[0]?.remaining;
  }
}

describe.each(NAMES)("an override under %s", (algorithm) => {
  it("raises a limit, and keeps what is counted", () => {
    const rig = new CountersRig({ algorithm });
    for (let n = 0; n < 10; n++) rig.spend();
    expect(rig.spend()).toMatchObject({ allowed: false });
    rig.override(15);
    expect(rig.left).toBe(5);
    expect(rig.spend(5)).toMatchObject({ allowed: true, remaining: 0, limit: 15 });
    expect(rig.spend()).toMatchObject({ allowed: false, reason: "limited", limit: 15 });
    expect(rig.spend(10, OTHER)).not.toHaveProperty("limit");
    rig.override(null);
    expect(rig.spend()).toMatchObject({ allowed: false });
    expect(rig.left).toBe(0);
  });

  it("lowers a limit, even to 0, and denies no longer than it lasts", () => {
    const rig = new CountersRig({ algorithm });
    rig.spend(4);
    rig.override(5, 1_000);
    expect(rig.left).toBe(1);
    expect(rig.spend(6)).toMatchObject({ allowed: false });
    expect(rig.spend()).toMatchObject({ allowed: true });
    expect(rig.spend()).toMatchObject({ allowed: false, retryAfterMs: 1_000, limit: 5 });
    rig.override(0, 1_000);
    expect(rig.spend()).toMatchObject({ allowed: false, retryAfterMs: 1_000, limit: 0 });
    rig.atMs += 1_000;
    // A bucket keeps its proportion.
    const isBucket = algorithm.endsWith("bucket");
    expect(rig.spend()).toMatchObject({ allowed: !isBucket });
  });

  it("leaves a key unlimited, and counts nothing of it", () => {
    const rig = new CountersRig({ algorithm });
    rig.spend(4);
    rig.override(UNLIMITED);
    for (let n = 0; n < 30; n++) {
      expect(rig.spend(10)).toMatchObject({ allowed: true, limit: 1_000_000_000 });
    }
    if (algorithm !== "concurrency") {
      rig.counters.refund({ key: KEY, policies: [rig.policy] }, rig.atMs);
    }
    rig.override(null);
    expect(rig.left).toBe(6);
  });

  it("gives a key of a policy that lets nothing pass a quota", () => {
    const rig = new CountersRig({ algorithm, limit: 0 });
    rig.override(2);
    expect(rig.spend()).toMatchObject({ allowed: true, remaining: 1 });
    rig.override(null);
    expect(rig.spend()).toMatchObject({ allowed: false, remaining: 0 });
  });
});

describe("an override", () => {
  it("never lets more pass than the policy with that limit would", () => {
    const limits = fc.integer({ min: 1, max: 20 });
    const steps = fc.array(fc.tuple(fc.nat(40_000), fc.integer({ min: 1, max: 4 })));
    fc.assert(
      fc.property(
        fc.constantFrom(...NAMES),
        limits,
        limits,
        steps,
        (algorithm, own, limit, each) => {
          const overridden = new CountersRig({ algorithm, limit: own, window: "1m" });
          const plain = new CountersRig({ algorithm, limit, window: "1m" });
          overridden.override(limit, HOUR_MS);
          for (const [afterMs, cost] of each) {
            for (const rig of [overridden, plain]) rig.atMs += afterMs;
            if (overridden.atMs > START_MS + HOUR_MS) return;
            const expected = plain.spend(cost);
            expect(overridden.spend(cost)?.allowed).toBe(expected?.allowed);
            expect(overridden.left).toBe(plain.left);
          }
        },
      ),
    );
  });

  it("changes a bucket's burst in proportion", () => {
    const rig = new CountersRig({ algorithm: "token-bucket", burst: 30 });
    rig.override(20);
    expect(rig.left).toBe(60);
  });

  it("ends the policy's own block if it is higher, and no operator's", () => {
    const rig = new CountersRig({ blockFor: "1h" });
    rig.spend(10);
    expect(rig.spend()).toMatchObject({ reason: "blocked" });
    rig.override(10);
    expect(rig.spend()).toMatchObject({ reason: "blocked" });
    rig.override(20);
    expect(rig.spend()).toMatchObject({ allowed: true, remaining: 9 });
    rig.counters.block(KEY, rig.atMs + 1_000);
    rig.override(UNLIMITED);
    expect(rig.spend()).toMatchObject({ allowed: false, reason: "blocked" });
  });

  it("holds nothing of an unlimited key, whatever its reservations come to", () => {
    const rig = new CountersRig();
    rig.spend(4);
    rig.override(UNLIMITED);
    const policies = [{ ...rig.policy, cost: 5, held: true as const }];
    for (const [id, actual] of [
      [1, 0],
      [2, 9],
    ] as const) {
      rig.counters.check({ key: KEY, policies, reserve: { id, ttlMs: 1_000 } }, rig.atMs);
      rig.counters.settle({ key: KEY, policies }, { id, actual, isMade: true }, rig.atMs);
    }
    rig.override(null);
    expect(rig.left).toBe(6);
  });

  it("says in an explanation what it is, and for how long", () => {
    const rig = new CountersRig();
    const explained = () => rig.counters.explain({ key: KEY, policies: [rig.policy] }, rig.atMs)[0];
    expect(explained()).not.toHaveProperty("override");
    rig.override(50);
    expect(explained()).toMatchObject({
      limit: 50,
      remaining: 50,
      state: expect.stringMatching(/; limit 50 by an override for 1 h more$/),
      override: { limit: 50, leftMs: HOUR_MS },
    });
    rig.override(UNLIMITED);
    expect(explained()).toMatchObject({
      limit: 1_000_000_000,
      override: { limit: "unlimited", leftMs: HOUR_MS },
    });
    rig.atMs += HOUR_MS;
    expect(explained()).toMatchObject({ limit: 10, remaining: 10 });
  });

  it("is never evicted, and an owner keeps a bounded number", () => {
    const counters = new Counters({ maxBytes: 20_000 });
    const policy = parsePolicy({ limit: 10, window: "1d" });
    counters.overrides.set(KEY, policy, 5, START_MS + HOUR_MS, START_MS);
    for (let lo = 10; lo < 2_000; lo++) {
      counters.check({ key: { hi: lo, lo }, policies: [policy] }, START_MS);
    }
    expect(counters.tables.evicted).toBeGreaterThan(1_000);
    expect(counters.peek({ key: KEY, policies: [policy] }, START_MS)[0]?.remaining).toBe(5);
    for (let lo = 1; lo < 50_000; lo++) {
      counters.overrides.set({ hi: 9, lo }, policy, 5, START_MS + HOUR_MS, START_MS);
    }
    expect(() =>
      counters.overrides.set({ hi: 8, lo: 1 }, policy, 5, START_MS + HOUR_MS, START_MS),
    ).toThrow("an owner keeps at most 50000 overrides");
  });
});
