/**
 * What is given back, against models that keep every event: nothing that time has given already.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Quota, State } from "../../src/limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { level } from "../../src/limit/bucket.ts";
import { type Event, MODELS } from "./models.ts";

const START_MS = 1_800_000_000_000;
const BUCKETS = ["token-bucket", "leaky-bucket"] as const;
/** All others, so that a new algorithm is among them until it is put elsewhere. */
const WINDOWED = (Object.keys(ALGORITHMS) as AlgorithmName[]).filter(
  (name) => !BUCKETS.some((bucket) => bucket === name),
);

const sequences = fc.record({
  limit: fc.integer({ min: 3, max: 12 }),
  burst: fc.integer({ min: 3, max: 20 }),
  windowMs: fc.integer({ min: 1_000, max: 3_000 }),
  steps: fc.array(
    fc.record({
      afterMs: fc.oneof(fc.nat(5), fc.nat(400), fc.nat(4_000)),
      cost: fc.integer({ min: 1, max: 3 }),
      /** Which of the checks that passed is given back after this step. */
      back: fc.option(fc.nat(10), { freq: 1 }),
    }),
    { minLength: 1, maxLength: 40 },
  ),
});

function spend(name: AlgorithmName, state: State | undefined, quota: Quota, event: Event) {
  return ALGORITHMS[name].decide(state, quota, event.atMs, event.cost);
}

describe.each(WINDOWED)("what %s is given back", (name) => {
  it("is as if it had never been spent, whenever it was spent", () => {
    fc.assert(
      fc.property(sequences, ({ steps, burst: _, ...given }) => {
        const quota = { ...given, capacity: given.limit };
        const passed: Event[] = [];
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost, back } of steps) {
          atMs += afterMs;
          const outcome = spend(name, state, quota, { atMs, cost });
          expect(outcome.allowed).toBe(MODELS[name](passed, quota, { atMs, cost }));
          if (outcome.allowed) passed.push({ atMs, cost });
          state = outcome.state;
          if (back === null || back >= passed.length) continue;
          const [event] = passed.splice(passed.length - 1 - back, 1) as [Event];
          state = ALGORITHMS[name].refund(state, quota, atMs, event.cost, event.atMs);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

interface Poured extends Event {
  /** What of it has not drained, in units × `windowMs`. */
  left: number;
  resetMs: number;
}

/** What is poured in first drains first. */
function drain(bucket: readonly Poured[], amount: number): void {
  let left = amount;
  for (const each of bucket) {
    const drained = Math.min(left, each.left);
    each.left -= drained;
    left -= drained;
  }
}

describe.each(BUCKETS)("what %s is given back", (name) => {
  it("is what has not drained of it", () => {
    fc.assert(
      fc.property(sequences, fc.nat(), ({ steps, burst, ...given }, which) => {
        const quota = { ...given, capacity: burst };
        const bucket: Poured[] = [];
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost } of steps) {
          atMs += afterMs;
          drain(bucket, afterMs * quota.limit);
          const outcome = spend(name, state, quota, { atMs, cost });
          state = outcome.state;
          if (!outcome.allowed) continue;
          bucket.push({ atMs, cost, left: cost * quota.windowMs, resetMs: outcome.resetMs });
        }
        const event = bucket[which % bucket.length];
        if (!event) return;
        const before = level(state, quota, atMs);
        expect(before).toBe(bucket.reduce((sum, { left }) => sum + left, 0));
        const { cost, atMs: spentAtMs, resetMs } = event;
        const after = ALGORITHMS[name].refund(state, quota, atMs, cost, spentAtMs, resetMs);
        const given_ = before - level(after, quota, atMs);
        // `resetMs` is rounded up to a whole millisecond, in which `limit` drain.
        expect(given_).toBeGreaterThanOrEqual(event.left);
        expect(given_).toBeLessThan(event.left + quota.limit);
        expect(given_).toBeLessThanOrEqual(cost * quota.windowMs);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ["a window later", 5, 60_000, 5, 5],
    ["as soon as it has drained", 2, 24_000, 5, 5],
    ["half drained", 4, 24_000, 3, 3],
  ])("is only what time has not given back already: %s", (_, first, laterMs, second, most) => {
    const quota = { limit: 5, windowMs: 60_000, capacity: 5 };
    const spent = spend(name, undefined, quota, { atMs: START_MS, cost: first });
    const atMs = START_MS + laterMs;
    const again = spend(name, spent.state, quota, { atMs, cost: second });
    const refund = (resetMs?: number) =>
      ALGORITHMS[name].refund(again.state, quota, atMs, first, START_MS, resetMs);
    const left = (state: State | undefined) => level(state, quota, atMs) / quota.windowMs;
    expect(again.allowed).toBe(true);
    expect(left(refund(spent.resetMs))).toBe(most);
    expect(left(refund())).toBeLessThanOrEqual(left(again.state));
  });

  it("is nothing once a whole bucket has drained, even if it is unknown how full it was", () => {
    const quota = { limit: 5, windowMs: 60_000, capacity: 5 };
    const { state } = spend(name, undefined, quota, { atMs: START_MS + 60_000, cost: 5 });
    const after = ALGORITHMS[name].refund(state, quota, START_MS + 60_000, 5, START_MS);
    expect(level(after, quota, START_MS + 60_000)).toBe(5 * quota.windowMs);
  });
});
