import { describe, expect, it } from "vitest";
import type { State } from "../../src/limit/algorithm.ts";
import { fixedWindow } from "../../src/limit/fixed-window.ts";

const TEN_A_MINUTE = { limit: 10, windowMs: 60_000, capacity: 10 };

/** Runs steps of [atMs, cost] and returns [allowed, remaining, resetMs, retryAfterMs] of each. */
function run(steps: [number, number][]) {
  let state: State | undefined;
  return steps.map(([atMs, cost]) => {
    const outcome = fixedWindow.decide(state, TEN_A_MINUTE, atMs, cost);
    state = outcome.state;
    return [outcome.allowed, outcome.remaining, outcome.resetMs, outcome.retryAfterMs];
  });
}

describe("fixed window", () => {
  it("allows the limit and denies one more until the window ends", () => {
    const steps: [number, number][] = [
      [0, 9],
      [30_000, 1],
      [30_001, 1],
      [59_999, 1],
      [60_000, 1],
    ];
    expect(run(steps)).toEqual([
      [true, 1, 60_000, 0],
      [true, 0, 30_000, 0],
      [false, 0, 29_999, 29_999],
      [false, 0, 1, 1],
      [true, 9, 60_000, 0],
    ]);
  });

  it("aligns windows to the epoch, so that twenty pass between 0:59.9 and 1:00.1", () => {
    const steps: [number, number][] = [
      [59_900, 10],
      [59_999, 1],
      [60_000, 1],
      [60_100, 9],
      [60_101, 1],
    ];
    expect(run(steps)).toEqual([
      [true, 0, 100, 0],
      [false, 0, 1, 1],
      [true, 9, 60_000, 0],
      [true, 0, 59_900, 0],
      [false, 0, 59_899, 59_899],
    ]);
  });

  it("spends nothing and keeps no state for a cost of 0", () => {
    expect(fixedWindow.decide(undefined, TEN_A_MINUTE, 5, 0)).toEqual({
      allowed: true,
      remaining: 10,
      resetMs: 0,
      retryAfterMs: 0,
      delayMs: 0,
      state: undefined,
    });
  });

  it("applies a changed limit to what is already spent", () => {
    const hundred = { limit: 100, windowMs: 60_000, capacity: 100 };
    const { state } = fixedWindow.decide(undefined, hundred, 0, 3);
    expect(fixedWindow.decide(state, TEN_A_MINUTE, 1, 0).remaining).toBe(7);
    const two = { limit: 2, windowMs: 60_000, capacity: 2 };
    expect(fixedWindow.decide(state, two, 1, 1)).toMatchObject({ allowed: false, remaining: 0 });
  });
});
