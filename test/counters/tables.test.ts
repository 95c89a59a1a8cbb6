import { describe, expect, it } from "vitest";
import { Counters } from "../../src/counters/counters.ts";
import { tableName } from "../../src/counters/table-name.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { DAY_MS, TEN_A_DAY } from "../owner/ten-a-day.ts";

const NOW_MS = 1_700_000_000_000;
const CHECK = { key: { hi: 1, lo: 2 }, policies: [TEN_A_DAY] };

function remaining(counters: Counters, nowMs = NOW_MS) {
  return counters.peek(CHECK, nowMs)[0]?.remaining;
}

describe("a policy's table", () => {
  it("is found by a policy that was asked about before it existed", () => {
    const counters = new Counters();
    expect(remaining(counters)).toBe(10);
    counters.tables.set(tableName(TEN_A_DAY), CHECK.key, [NOW_MS + DAY_MS, 4]);
    expect(remaining(counters)).toBe(6);
  });

  it("is forgotten when it is removed, and made anew", () => {
    const counters = new Counters();
    counters.check(CHECK, NOW_MS);
    counters.tables.sweep(NOW_MS + 2 * DAY_MS);
    expect(counters.tables.size).toBe(0);
    counters.check(CHECK, NOW_MS + 2 * DAY_MS);
    expect(counters.tables.size).toBe(1);
    expect(remaining(counters, NOW_MS + 2 * DAY_MS)).toBe(9);
  });

  it("is another table for another window, and the same for another limit", () => {
    const counters = new Counters();
    counters.check(CHECK, NOW_MS);
    const ask = (change: object) =>
      counters.peek({ ...CHECK, policies: [{ ...TEN_A_DAY, ...change }] }, NOW_MS)[0]?.remaining;
    expect(ask({ limit: 20 })).toBe(19);
    expect(ask({ windowMs: 1_000 })).toBe(10);
    expect(remaining(counters)).toBe(9);
  });
});

describe.each(Object.keys(ALGORITHMS) as AlgorithmName[])("a denial by %s", (algorithm) => {
  it("says what a peek says, and spends nothing", () => {
    const counters = new Counters();
    const check = { ...CHECK, policies: [{ ...TEN_A_DAY, algorithm, cost: 7 }] };
    expect(counters.check(check, NOW_MS)[0]?.allowed).toBe(true);
    const peeked = counters.peek(check, NOW_MS);
    const stored = counters.explain(check, NOW_MS);
    expect(counters.check(check, NOW_MS)).toEqual(peeked);
    expect(peeked[0]).toMatchObject({ allowed: false, remaining: 3, reason: "limited" });
    expect(counters.explain(check, NOW_MS)).toEqual(stored);
  });
});
