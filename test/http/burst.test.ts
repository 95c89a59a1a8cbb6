/** A client may send as many requests as `r` says: tried with the algorithms themselves. */
import type { Ruling } from "../../src/http/answer/ruling.ts";
import "../fuzz/runs.ts";
import fc from "fast-check";
import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { rateLimitFields } from "../../src/http/answer/fields.ts";
import type { State } from "../../src/limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName, algorithmOf } from "../../src/limit/algorithms.ts";
import type { Decision } from "../../src/limit/decision.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import type { Policy } from "../../src/limit/policy.ts";

const START_MS = Date.UTC(2026, 10, 25, 12, 0, 18);

/** One client under several policies on one key, which take their cost all or none. */
class Client {
  readonly #states = new Map<Policy, State | undefined>();
  readonly #policies: readonly Policy[];

  constructor(policies: readonly Policy[]) {
    this.#policies = policies;
  }

  send(nowMs: number): Ruling[] {
    const outcomes = this.#policies.map((policy) =>
      algorithmOf(policy).decide(this.#states.get(policy), policy, nowMs, policy.cost),
    );
    const passes = outcomes.every(({ allowed }) => allowed);
    return this.#policies.map((policy, at) => {
      const outcome = outcomes[at] as (typeof outcomes)[number];
      if (passes) this.#states.set(policy, outcome.state);
      const reason = outcome.allowed ? "ok" : "limited";
      const whose = { policy: policy.name, limit: policy.limit, source: "owner", exact: true };
      return { policy, decision: { ...outcome, ...whose, reason } as Decision };
    });
  }

  passes(nowMs: number): boolean {
    return this.send(nowMs).every(({ decision }) => decision.allowed);
  }
}

function left(rulings: readonly Ruling[]): { r: number; t: number }[] {
  return parseList(rateLimitFields(rulings).quotas).map(([, parameters]) => ({
    r: Number(parameters.get("r")),
    t: Number(parameters.get("t")),
  }));
}

const policy = fc.record({
  limit: fc.integer({ min: 6, max: 60 }),
  window: fc.integer({ min: 1_000, max: 20_000 }).map((ms) => `${ms}ms`),
  // All algorithms but `concurrency`, which gives back when a request ends.
  algorithm: fc.constantFrom(
    ...(Object.keys(ALGORITHMS) as AlgorithmName[]).filter((name) => name !== "concurrency"),
  ),
  cost: fc.integer({ min: 1, max: 6 }),
});
const policies = fc.array(policy, { minLength: 1, maxLength: 3 }).map((list) =>
  parsePolicies(
    list.map((each, at) => ({ name: `p${at}`, ...each })),
    "",
  ),
);
/** Milliseconds between the earlier requests. */
const pauses = fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 30 });

describe("r", () => {
  it("is what passes at once, by the least of all items", () => {
    fc.assert(
      fc.property(policies, pauses, (some, gaps) => {
        const client = new Client(some);
        let nowMs = START_MS;
        let rulings: Ruling[] = [];
        for (const gap of gaps) {
          nowMs += gap;
          rulings = client.send(nowMs);
        }
        const items = left(rulings);
        const least = Math.min(...items.map(({ r }) => r));
        for (let n = 0; n < least; n++) expect(client.passes(nowMs), `${n} of ${least}`).toBe(true);
        if (least > 0 || rulings.every(({ decision }) => decision.allowed)) {
          expect(client.passes(nowMs)).toBe(false);
        }
      }),
    );
  });

  it("is never more than another policy lets pass until `t`", () => {
    const pairs = policies.filter(({ length }) => length === 2);
    fc.assert(
      fc.property(pairs, pauses, (some, gaps) => {
        let nowMs = START_MS;
        const times = gaps.map((gap) => {
          nowMs += gap;
          return nowMs;
        });
        const told = new Client(some);
        const items = left(times.map((at) => told.send(at)).at(-1) ?? []);
        const isRefused = items.some(({ r }) => r === 0);
        for (const { r, t } of isRefused ? [] : items) {
          const greedy = new Client(some);
          for (const at of times) greedy.send(at);
          let passed = 0;
          for (let at = nowMs; at <= nowMs + t * 1_000 && passed < r; at += 50) {
            while (passed < r && greedy.passes(at)) passed++;
          }
          expect(passed).toBe(r);
        }
      }),
    );
  });

  it("does not invite a client to spend the rest of a day in its last seconds", () => {
    const [burst, day] = parsePolicies(
      [
        { name: "burst", limit: 10, window: "1s" },
        { name: "day", limit: 10_000, window: "1d" },
      ],
      "",
    ) as [Policy, Policy];
    const client = new Client([burst, day]);
    expect(left(client.send(Date.UTC(2026, 10, 25, 23, 59, 57)))).toEqual([
      { r: 9, t: 1 },
      { r: 39, t: 3 },
    ]);
    expect(left(client.send(Date.UTC(2026, 10, 26, 12, 0, 0)))).toEqual([
      { r: 9, t: 1 },
      { r: 9_999, t: 43_200 },
    ]);
  });

  it("counts requests if each costs several units, and units if a function says how many", () => {
    const [policy] = parsePolicies([{ limit: 100, window: "1h", cost: 30 }], "") as [Policy];
    const [ruling] = new Client([policy]).send(START_MS) as [Ruling];
    expect(rateLimitFields([ruling])).toEqual({
      policies: '"default";q=3;w=3600',
      quotas: '"default";r=2;t=3582',
    });
    const priced = { ...ruling, policy: { ...policy, isPriced: true } };
    expect(rateLimitFields([priced]).quotas).toBe('"default";r=70;t=3582');
  });
});
