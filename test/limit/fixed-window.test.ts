import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FixedWindowState, fixedWindow } from "../../src/limit/fixed-window.ts";

const TEN_A_MINUTE = { limit: 10, windowMs: 60_000 };

/** Runs steps of [atMs, cost] and returns [allowed, remaining, resetMs, retryAfterMs] of each. */
function run(steps: [number, number][], policy = TEN_A_MINUTE) {
  let state: FixedWindowState | undefined;
  return steps.map(([atMs, cost]) => {
    const { allowed, remaining, resetMs, retryAfterMs, ...rest } = fixedWindow(
      state,
      policy,
      atMs,
      cost,
    );
    state = rest.state;
    return [allowed, remaining, resetMs, retryAfterMs];
  });
}

describe("fixed window", () => {
  it("allows the limit and denies one more until the window ends", () => {
    expect(
      run([
        [0, 9],
        [30_000, 1],
        [30_001, 1],
        [59_999, 1],
        [60_000, 1],
      ]),
    ).toEqual([
      [true, 1, 60_000, 0],
      [true, 0, 30_000, 0],
      [false, 0, 29_999, 29_999],
      [false, 0, 1, 1],
      [true, 9, 60_000, 0],
    ]);
  });

  it("aligns windows to the epoch, so that twenty pass between 0:59.9 and 1:00.1", () => {
    expect(
      run([
        [59_900, 10],
        [59_999, 1],
        [60_000, 1],
        [60_100, 9],
        [60_101, 1],
      ]),
    ).toEqual([
      [true, 0, 100, 0],
      [false, 0, 1, 1],
      [true, 9, 60_000, 0],
      [true, 0, 59_900, 0],
      [false, 0, 59_899, 59_899],
    ]);
  });

  it("denies a cost that does not fit and leaves what is left to smaller ones", () => {
    expect(
      run([
        [0, 8],
        [1, 3],
        [2, 2],
        [3, 1],
      ]),
    ).toEqual([
      [true, 2, 60_000, 0],
      [false, 2, 59_999, 59_999],
      [true, 0, 59_998, 0],
      [false, 0, 59_997, 59_997],
    ]);
  });

  it("spends nothing and keeps no state for a cost of 0", () => {
    expect(fixedWindow(undefined, TEN_A_MINUTE, 5, 0)).toEqual({
      allowed: true,
      remaining: 10,
      resetMs: 0,
      retryAfterMs: 0,
      delayMs: 0,
      state: undefined,
    });
  });

  it("applies a changed limit to what is already spent", () => {
    const { state } = fixedWindow(undefined, { limit: 100, windowMs: 60_000 }, 0, 3);
    expect(fixedWindow(state, TEN_A_MINUTE, 1, 0).remaining).toBe(7);
    expect(fixedWindow(state, { limit: 2, windowMs: 60_000 }, 1, 1)).toMatchObject({
      allowed: false,
      remaining: 0,
    });
  });

  it("agrees with a model that keeps every event, and says exactly when to come back", () => {
    const steps = fc.array(
      fc.record({ afterMs: fc.nat(400), cost: fc.integer({ min: 1, max: 5 }) }),
      { maxLength: 60 },
    );
    const policies = fc.record({
      limit: fc.integer({ min: 5, max: 20 }),
      windowMs: fc.integer({ min: 1_000, max: 3_000 }),
    });
    fc.assert(
      fc.property(policies, steps, (policy, sequence) => {
        const passed: { atMs: number; cost: number }[] = [];
        let state: FixedWindowState | undefined;
        let nowMs = 1_700_000_000_000;
        for (const { afterMs, cost } of sequence) {
          nowMs += afterMs;
          const windowOf = (ms: number) => Math.floor(ms / policy.windowMs);
          const spent = passed
            .filter(({ atMs }) => windowOf(atMs) === windowOf(nowMs))
            .reduce((sum, event) => sum + event.cost, 0);
          const before = state;
          const result = fixedWindow(state, policy, nowMs, cost);
          state = result.state;
          expect(result.allowed).toBe(spent + cost <= policy.limit);
          expect(result.remaining).toBe(policy.limit - spent - (result.allowed ? cost : 0));
          if (result.allowed) {
            passed.push({ atMs: nowMs, cost });
          } else {
            expect(state).toEqual(before);
            const freeMs = nowMs + result.retryAfterMs;
            expect(fixedWindow(state, policy, freeMs - 1, cost).allowed).toBe(false);
            expect(fixedWindow(state, policy, freeMs, cost).allowed).toBe(true);
          }
        }
      }),
    );
  });
});
