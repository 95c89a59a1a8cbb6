/** Checks with a `requestId`: against a model that keeps every answer. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkOnce } from "../../src/counters/answers.ts";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { Counters } from "../../src/counters/counters.ts";
import type { Verdict } from "../../src/limit/decision.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const KEY = { hi: 1, lo: 2 };

function policy(name: string, limit: number, more: Partial<CounterPolicy> = {}): CounterPolicy {
  return {
    ...{ name, algorithm: "fixed-window", limit, windowMs: DAY_MS, capacity: limit },
    ...{ cost: 1, shadow: false, durable: false },
    ...more,
  };
}

const POLICIES = [policy("day", 20), policy("log", 9, { algorithm: "sliding-log" })];

describe("a check with a requestId", () => {
  it("gets its first answer again for a minute, and counts once", () => {
    const step = fc.record({
      requestId: fc.integer({ min: 1, max: 30 }),
      policies: fc.subarray(POLICIES, { minLength: 1 }),
      waitMs: fc.oneof(fc.constant(0), fc.nat(MINUTE_MS)),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const counters = new Counters();
        const plain = new Counters();
        const known = new Map<string, { untilMs: number; verdicts: Verdict[] }>();
        let nowMs = DAY_MS;
        for (const { requestId, policies, waitMs } of steps) {
          nowMs += waitMs;
          // The caller's hash tells checks under other policies apart.
          const id = requestId * 4 + policies.length * 2 + Number(policies[0] === POLICIES[0]);
          const before = known.get(String(id));
          const isKnown = before !== undefined && nowMs < before.untilMs;
          const expected = isKnown ? before.verdicts : plain.check({ key: KEY, policies }, nowMs);
          if (!isKnown) {
            known.set(String(id), { untilMs: nowMs + MINUTE_MS, verdicts: expected });
          }
          const check = { key: KEY, policies, requestId: id };
          expect(checkOnce(counters, check, nowMs)).toEqual(expected);
        }
      }),
    );
  });

  it("says again how much was taken, and that a policy in shadow would have denied", () => {
    const counters = new Counters();
    const atMost = policy("most", 5, { cost: 8, atMost: true });
    const first = checkOnce(counters, { key: KEY, policies: [atMost], requestId: 1 }, 0);
    expect(first).toMatchObject([{ allowed: true, taken: 5 }]);
    expect(checkOnce(counters, { key: KEY, policies: [atMost], requestId: 1 }, 1)).toEqual(first);
    const shadow = policy("shadow", 1, { shadow: true });
    const check = { key: KEY, policies: [shadow] };
    counters.check(check, 0);
    const second = checkOnce(counters, { ...check, requestId: 2 }, 0);
    expect(second).toMatchObject([{ allowed: true, reason: "shadow" }]);
    expect(checkOnce(counters, { ...check, requestId: 2 }, 9)).toEqual(second);
  });

  it("is known for its own key alone", () => {
    const counters = new Counters();
    const policies = [policy("day", 9)];
    checkOnce(counters, { key: KEY, policies, requestId: 1 }, 0);
    const other = { hi: 1, lo: 3 };
    expect(checkOnce(counters, { key: other, policies, requestId: 1 }, 0)).toMatchObject([
      { remaining: 8 },
    ]);
    expect(counters.check({ key: other, policies }, 0)).toMatchObject([{ remaining: 7 }]);
  });

  it("keeps a bounded number of answers of a key, the latest", () => {
    const counters = new Counters();
    const policies = [policy("day", 1_000_000)];
    const ask = (requestId: number) => checkOnce(counters, { key: KEY, policies, requestId }, 0);
    for (let requestId = 1; requestId <= 5_000; requestId++) ask(requestId);
    expect(counters.tables.bytes).toBeLessThan(200_000);
    const [latest] = ask(5_000);
    expect(latest?.remaining).toBe(1_000_000 - 5_000);
    // The thousand answers before it are still known.
    for (let requestId = 4_001; requestId <= 5_000; requestId++) {
      expect(ask(requestId)[0]?.remaining).toBe(1_000_000 - requestId);
    }
    // The first answer is forgotten, so its check counts again.
    expect(ask(1)[0]?.remaining).toBe(1_000_000 - 5_001);
  });
});
