import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { State } from "../../src/limit/algorithm.ts";
import { ALGORITHMS } from "../../src/limit/algorithms.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { turnMs, withShortQueue } from "../../src/limit/waiting.ts";

const NOW_MS = 1_700_000_000_123;

/** A quota that denies a cost, and the state that does. */
const denied = fc
  .record({
    algorithm: fc.constantFrom("fixed-window", "token-bucket", "leaky-bucket"),
    limit: fc.integer({ min: 1, max: 40 }),
    windowSeconds: fc.integer({ min: 1, max: 100 }),
    burst: fc.integer({ min: 1, max: 40 }),
    cost: fc.integer({ min: 1, max: 5 }),
    spent: fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 80 }),
  })
  .filter(
    ({ limit, burst, cost, algorithm }) => cost <= (algorithm === "fixed-window" ? limit : burst),
  )
  .map(({ windowSeconds, burst, spent, ...fields }) => {
    const isBucket = fields.algorithm !== "fixed-window";
    const policy = parsePolicy({
      ...fields,
      ...(isBucket && { burst }),
      window: `${windowSeconds}s`,
    });
    const { decide } = ALGORITHMS[policy.algorithm];
    let state: State | undefined;
    let nowMs = NOW_MS;
    for (const pauseMs of spent) {
      nowMs += pauseMs;
      state = decide(state, policy, nowMs, policy.cost).state;
    }
    for (;;) {
      const outcome = decide(state, policy, nowMs, policy.cost);
      if (!outcome.allowed) return { policy, decide, state, nowMs, outcome };
      state = outcome.state;
    }
  });

describe("a turn", () => {
  it("is when the request passes, if those ahead of it pass at their turns", () => {
    fc.assert(
      fc.property(denied, fc.integer({ min: 1, max: 60 }), (setting, waiting) => {
        const { policy, decide, nowMs, outcome } = setting;
        let { state } = setting;
        for (let ahead = 0; ahead < waiting * policy.cost; ahead += policy.cost) {
          const turn = turnMs(policy, outcome, ahead);
          // A bucket's pace is rounded up to whole milliseconds.
          const isEarliest = ahead === 0 || policy.algorithm !== "fixed-window";
          if (isEarliest) {
            expect(decide(state, policy, nowMs + turn - 2, policy.cost).allowed).toBe(false);
          }
          // So each request that has passed may make the next one a millisecond late.
          const lateMs = ahead / policy.cost;
          const passing = decide(state, policy, nowMs + turn + lateMs, policy.cost);
          expect(passing.allowed).toBe(true);
          state = passing.state;
        }
      }),
      { numRuns: 300 },
    );
  });

  it("comes at an even pace if the units of a window come back one by one", () => {
    const policy = parsePolicy({ algorithm: "sliding-log", limit: 10, window: "10s" });
    const outcome = { retryAfterMs: 1_000, resetMs: 10_000 };
    const turns = [0, 1, 5, 9, 10, 11].map((ahead) => turnMs(policy, outcome, ahead));
    expect(turns).toEqual([1_000, 1_900, 5_500, 9_100, 11_000, 11_900]);
  });

  it("comes at the pace of the key's override, and after a finite wait under any limit", () => {
    const policy = parsePolicy({ algorithm: "sliding-log", limit: 10, window: "10s", cost: 2 });
    const turn = (limit: number, cost = 2) =>
      turnMs({ ...policy, cost }, { limit, retryAfterMs: 1_000, resetMs: 10_000 }, 6);
    expect([10, 20, 100].map((limit) => turn(limit))).toEqual([6_400, 3_700, 1_540]);
    expect(turn(40, 20)).toBe(2_350);
    expect([turn(0), turn(1)]).toEqual([1_000, 1_000]);
  });
});

describe("a leaky bucket", () => {
  it("may have a burst that leaves within 60 s, and a token bucket any", () => {
    const policies = [
      { name: "a", algorithm: "leaky-bucket", limit: 10, window: "1m", burst: 10 },
      { name: "b", algorithm: "token-bucket", limit: 10, window: "1h", burst: 50 },
    ];
    const capacities = parsePolicies(policies, "POLICIES").map(({ capacity }) => capacity);
    expect(capacities).toEqual([11, 50]);
  });

  it.each([
    [{ limit: 1, window: "1d", burst: 30 }, "burst must be at most 0"],
    [{ limit: 10, window: "1m", burst: 11 }, "burst must be at most 10"],
    [{ limit: 100, window: "1h", burst: 2 }, "burst must be at most 1"],
  ])("with a longer wait than 60 s is refused: %j", (fields, message) => {
    const read = () => parsePolicies([{ algorithm: "leaky-bucket", ...fields }], "POLICIES");
    expect(read).toThrow(`POLICIES[0].${message} with this limit and window, so that no request`);
  });

  it("with a cost that takes longer than 60 s to leave is refused", () => {
    const policy = { algorithm: "leaky-bucket", limit: 100, window: "1h", cost: 3 };
    expect(() => parsePolicies([policy], "POLICIES")).toThrow("POLICIES[0].cost must be at most 2");
  });

  it("holds as many as leave within 60 s, unless its burst says fewer", () => {
    const capacityOf = (limit: number, window: string) =>
      withShortQueue(parsePolicy({ algorithm: "leaky-bucket", limit, window })).capacity;
    expect(capacityOf(10, "1m")).toBe(10);
    expect(capacityOf(100, "1h")).toBe(2);
    expect(capacityOf(1, "30d")).toBe(1);
    expect(capacityOf(2, "1s")).toBe(2);
  });
});
