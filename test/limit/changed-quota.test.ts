/** What is counted under one quota and read under another, as after a deployment or a new plan. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isVerdict } from "../../src/caller/call.ts";
import { Counters } from "../../src/counters/counters.ts";
import { MAX_WINDOW_MS } from "../../src/limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import { type Event, MODELS } from "./models.ts";

const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };
const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
const DAY_MS = 86_400_000;

/** Limits and bursts from 1 to the largest there may be, small ones most often. */
const units = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000_000_000 }));
const windows = fc.constantFrom("1s", "7s", "1m", "1h", "1d", "30d", "366d");
const quotas = fc.record({ limit: units, burst: fc.option(units), window: windows });

const steps = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.nat(5), fc.nat(4_000), fc.nat(DAY_MS), fc.nat(400 * DAY_MS)),
    /** The share of what could be spent at once that a check costs; null if it costs `cost`. */
    share: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    cost: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 20 },
);

/** Returns the policy, or undefined if the configuration is refused. */
function policyOf(algorithm: AlgorithmName, { limit, burst, window }: Quota): Policy | undefined {
  const isBucket = algorithm.endsWith("bucket");
  try {
    return parsePolicy({ limit, window, algorithm, ...(isBucket && burst !== null && { burst }) });
  } catch {
    return undefined;
  }
}

type Quota = { limit: number; burst: number | null; window: string };

describe.each(NAMES)("a state of %s", (algorithm) => {
  it("is read under any other quota as something a caller believes, and never lets more pass", () => {
    fc.assert(
      fc.property(fc.array(quotas, { minLength: 2, maxLength: 4 }), steps, (several, each) => {
        const counters = new Counters();
        let atMs = START_MS;
        for (const quota of several) {
          const policy = policyOf(algorithm, quota);
          if (!policy) continue;
          const passed: Event[] = [];
          for (const { afterMs, share, cost: least } of each) {
            atMs += afterMs;
            const most = Math.min(policy.capacity, 2_000_000);
            const cost = share === null ? Math.min(least, most) : Math.ceil(share * most) || 1;
            const asked = { ...policy, cost };
            const [peeked] = counters.peek({ key: KEY, policies: [asked] }, atMs);
            const [verdict] = counters.check({ key: KEY, policies: [asked] }, atMs);
            expect(peeked && isVerdict(peeked, asked)).toBe(true);
            expect(verdict && isVerdict(verdict, asked)).toBe(true);
            expect(verdict?.allowed).toBe(peeked?.allowed);
            counters.explain({ key: KEY, policies: [asked] }, atMs);
            if (!verdict?.allowed) continue;
            // No more ever passes than if nothing had been spent under the earlier quotas.
            expect(isLawful(algorithm, passed, policy, { atMs, cost })).toBe(true);
            passed.push({ atMs, cost });
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The model's sums are of units × ms, which stay exact in whole numbers of any size. */
function isLawful(name: AlgorithmName, passed: Event[], policy: Policy, now: Event): boolean {
  const recent = passed.filter(({ atMs }) => now.atMs - atMs <= MAX_WINDOW_MS * 2);
  return MODELS[name](recent, policy, now);
}

describe("a bucket whose limit has changed", () => {
  const bucket = (limit: number, burst: number) =>
    parsePolicy({ limit, burst, window: "1d", algorithm: "token-bucket" });

  it("holds no more than it can hold now", () => {
    const counters = new Counters();
    const check = (policy: Policy, cost: number) =>
      counters.check({ key: KEY, policies: [{ ...policy, cost }] }, START_MS)[0];
    expect(check(bucket(3, 1_000), 900)).toMatchObject({ allowed: true });
    const denied = check(bucket(100, 1_000), 1);
    expect(denied).toMatchObject({ allowed: false, remaining: 0, resetMs: 10 * DAY_MS });
    expect(denied?.retryAfterMs).toBe(DAY_MS / 100);
  });
});

describe("a limit of 0", () => {
  it.each(NAMES)("denies all under %s until the window ends, and can be refunded", (algorithm) => {
    const counters = new Counters();
    const five = parsePolicy({ limit: 5, window: "1h", algorithm });
    const check = (policy: Policy, atMs: number) =>
      counters.check({ key: KEY, policies: [policy] }, atMs)[0];
    const nothing = { ...five, limit: 0, capacity: 0 };
    for (const atMs of [START_MS, START_MS + 60_000]) {
      check(five, atMs);
      const verdict = check(nothing, atMs);
      expect(verdict).toMatchObject({ allowed: false, remaining: 0, reason: "limited" });
      expect(verdict?.retryAfterMs).toBe(3_600_000 - (atMs % 3_600_000));
      expect(verdict && isVerdict(verdict, nothing)).toBe(true);
    }
    counters.refund({ key: KEY, policies: [nothing] }, START_MS + 60_000);
    expect(counters.explain({ key: KEY, policies: [nothing] }, START_MS)).toHaveLength(1);
    expect(check(five, START_MS + 60_000)).toMatchObject({ allowed: true });
  });
});
