/** Each algorithm against a slow model of its rule, and against what all of them promise. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Quota, State } from "../../src/limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { type Event, MODELS } from "./models.ts";

const START_MS = 1_800_000_000_000;

const sequences = fc.record({
  limit: fc.integer({ min: 3, max: 12 }),
  burst: fc.integer({ min: 3, max: 20 }),
  windowMs: fc.integer({ min: 1_000, max: 3_000 }),
  steps: fc.array(
    fc.record({
      afterMs: fc.oneof(fc.nat(5), fc.nat(400), fc.nat(4_000)),
      cost: fc.integer({ min: 1, max: 3 }),
      /** Units that are charged after the check, without a decision. */
      charged: fc.option(fc.integer({ min: 1, max: 30 }), { freq: 1, nil: 0 }),
    }),
    { minLength: 1, maxLength: 40 },
  ),
});

function quotaOf(
  name: AlgorithmName,
  { limit, burst, windowMs }: { limit: number; burst: number; windowMs: number },
): Quota {
  return { limit, windowMs, capacity: name.endsWith("bucket") ? burst : limit };
}

const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

describe.each(NAMES)("%s", (name) => {
  const algorithm = ALGORITHMS[name];

  it("decides as a model that keeps every event, and tells exactly what is left and when", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        const quota = quotaOf(name, sequence);
        const passed: Event[] = [];
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost, charged } of sequence.steps) {
          atMs += afterMs;
          const may = (units: number, laterMs = 0) =>
            MODELS[name](passed, quota, { atMs: atMs + laterMs, cost: units });
          const outcome = algorithm.decide(state, quota, atMs, cost);
          expect(outcome.allowed).toBe(may(cost));
          if (outcome.allowed) {
            passed.push({ atMs, cost });
            expect(outcome.retryAfterMs).toBe(0);
          } else {
            expect(outcome.state).toBe(state);
            expect(may(cost, outcome.retryAfterMs - 1)).toBe(false);
            expect(may(cost, outcome.retryAfterMs)).toBe(true);
          }
          state = outcome.state;
          const { remaining } = outcome;
          expect(remaining).toBe(algorithm.decide(state, quota, atMs, 0).remaining);
          expect(remaining === 0 || may(remaining)).toBe(true);
          expect(remaining === quota.capacity || !may(remaining + 1)).toBe(true);
          const whole = algorithm.decide(state, quota, atMs + outcome.resetMs, 0);
          expect(whole).toMatchObject({ remaining: quota.capacity, resetMs: 0 });
          if (charged === 0) continue;
          state = algorithm.charge(state, quota, atMs, charged);
          passed.push({ atMs, cost: charged });
        }
      }),
      { numRuns: 500 },
    );
  });

  it("never goes below zero or above what it holds, whatever is given back", () => {
    const step = fc.record({
      afterMs: fc.nat(1_500),
      cost: fc.integer({ min: 1, max: 3 }),
      refund: fc.boolean(),
      /** How long ago the units were spent; absent if unknown. */
      ageMs: fc.option(fc.nat(4_000), { nil: undefined }),
    });
    fc.assert(
      fc.property(sequences, fc.array(step, { maxLength: 60 }), (sequence, steps) => {
        const quota = quotaOf(name, sequence);
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost, refund, ageMs } of steps) {
          atMs += afterMs;
          const before = algorithm.decide(state, quota, atMs, 0).remaining;
          if (refund) {
            const spentAtMs = ageMs === undefined ? undefined : atMs - ageMs;
            state = algorithm.refund(state, quota, atMs, cost, spentAtMs);
          } else {
            ({ state } = algorithm.decide(state, quota, atMs, cost));
          }
          const after = algorithm.decide(state, quota, atMs, 0).remaining;
          expect(after).toBeGreaterThanOrEqual(0);
          expect(after).toBeLessThanOrEqual(quota.capacity);
          if (refund) {
            expect(after).toBeGreaterThanOrEqual(before);
            expect(after).toBeLessThanOrEqual(before + cost + (name === "sliding-window" ? 1 : 0));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("is as if a cost had never been spent, once it is given back at the same moment", () => {
    fc.assert(
      fc.property(sequences, fc.integer({ min: 1, max: 3 }), (sequence, cost) => {
        const quota = quotaOf(name, sequence);
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost: each } of sequence.steps) {
          atMs += afterMs;
          ({ state } = algorithm.decide(state, quota, atMs, each));
        }
        const { allowed, state: spent } = algorithm.decide(state, quota, atMs, cost);
        if (!allowed) return;
        const restored = algorithm.refund(spent, quota, atMs, cost, atMs);
        const look = (each: State | undefined) => {
          const { state: _, ...verdict } = algorithm.decide(each, quota, atMs + 7, 0);
          return verdict;
        };
        expect(look(restored)).toEqual(look(state));
      }),
    );
  });
});
