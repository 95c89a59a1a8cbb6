/** Blocks that policies put on keys, against a model that keeps every request. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isVerdict } from "../../src/caller/call.ts";
import { counterPolicy } from "../../src/caller/message.ts";
import { Counters } from "../../src/counters/counters.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { type Event, MODELS } from "../limit/models.ts";

const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };
const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

const steps = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.nat(5), fc.nat(400), fc.nat(4_000), fc.nat(40_000)),
    cost: fc.integer({ min: 1, max: 3 }),
    verb: fc.oneof(
      { weight: 20, arbitrary: fc.constant("check" as const) },
      fc.constantFrom("peek", "reset", "unblock"),
    ),
  }),
  { minLength: 1, maxLength: 50 },
);

const settings = fc.record({
  limit: fc.integer({ min: 3, max: 6 }),
  window: fc.constantFrom("1s", "2s"),
  first: fc.constantFrom("1s", "3s"),
  max: fc.constantFrom("3s", "10s", "1d"),
});

/** What has passed under a policy, and the key's block. */
class Model {
  passed: Event[] = [];
  block: { untilMs: number; lengthMs: number } | undefined;

  leftMs(atMs: number): number {
    return Math.max(0, (this.block?.untilMs ?? 0) - atMs);
  }

  /** Returns true if the last block ended so recently that the next one is longer. */
  next(atMs: number, firstMs: number, maxMs: number, waitMs: number): number {
    const last = this.block;
    const isRepeater = last && atMs < last.untilMs + 2 * last.lengthMs;
    const lengthMs = Math.min(maxMs, isRepeater ? Math.max(firstMs, 2 * last.lengthMs) : firstMs);
    this.block = { untilMs: atMs + Math.max(lengthMs, waitMs), lengthMs };
    return this.leftMs(atMs);
  }
}

describe.each(NAMES)("a policy with blockFor, %s", (algorithm) => {
  it("denies for exactly as long as a model that keeps every request", () => {
    fc.assert(
      fc.property(settings, steps, ({ limit, window, first, max }, each) => {
        const input = { limit, window, algorithm, blockFor: { first, max } } as PolicyInput;
        const policy = parsePolicy(input);
        const { firstMs = 0, maxMs = 0 } = policy.blockFor ?? {};
        const counters = new Counters();
        // Without a block, the algorithm says how long a denied client has to wait.
        const plain = new Counters();
        let model = new Model();
        let atMs = START_MS;
        for (const { afterMs, cost, verb } of each) {
          atMs += afterMs;
          const asked = counterPolicy({ ...policy, cost });
          const check = { key: KEY, policies: [asked] };
          const bare = { key: KEY, policies: [{ ...asked, blockFor: undefined }] };
          if (verb === "reset") {
            counters.reset(check);
            plain.reset(bare);
            model = new Model();
            continue;
          }
          if (verb === "unblock") {
            counters.unblock(KEY);
            model.block = undefined;
            continue;
          }
          const may = MODELS[algorithm](model.passed, policy, { atMs, cost });
          const leftMs = model.leftMs(atMs);
          const [peeked] = plain.peek(bare, atMs);
          const [verdict] = counters[verb](check, atMs);
          expect(verdict && isVerdict(verdict, asked)).toBe(true);
          expect(verdict?.allowed).toBe(may && leftMs === 0);
          if (leftMs > 0) {
            const retryAfterMs = Math.max(leftMs, peeked?.retryAfterMs ?? 0);
            expect(verdict).toMatchObject({ reason: "blocked", remaining: 0, retryAfterMs });
          } else if (may) {
            expect(verdict).toMatchObject({ reason: "ok", retryAfterMs: 0 });
            if (verb === "peek") continue;
            model.passed.push({ atMs, cost });
            plain.check(bare, atMs);
          } else if (verb === "peek") {
            expect(verdict).toEqual(peeked);
          } else {
            const toldMs = peeked?.retryAfterMs ?? 0;
            // The wait for a slot is only a bound, so it does not lengthen a block.
            const waitMs = algorithm === "concurrency" ? 0 : toldMs;
            const retryAfterMs = Math.max(model.next(atMs, firstMs, maxMs, waitMs), toldMs);
            expect(verdict).toMatchObject({ reason: "blocked", remaining: 0, retryAfterMs });
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("lets a client pass that waits as it is told", () => {
    fc.assert(
      fc.property(settings, fc.array(fc.integer({ min: 1, max: 3 })), (setting, costs) => {
        const { limit, window, first, max } = setting;
        const input = { limit, window, algorithm, blockFor: { first, max } } as PolicyInput;
        const policy = parsePolicy(input);
        const counters = new Counters();
        let atMs = START_MS;
        for (const cost of costs) {
          const check = { key: KEY, policies: [counterPolicy({ ...policy, cost })] };
          const [verdict] = counters.check(check, atMs);
          if (verdict?.allowed) continue;
          atMs += verdict?.retryAfterMs ?? 0;
          expect(counters.check(check, atMs)[0]?.allowed).toBe(true);
        }
      }),
    );
  });
});

function policyOf(change: Partial<PolicyInput>) {
  return counterPolicy(parsePolicy({ limit: 1, window: "1m", ...change }));
}

describe("the blocks of several policies", () => {
  it("deny all or none, and no request during a block begins another", () => {
    const counters = new Counters();
    const short = policyOf({ name: "short", blockFor: { first: "2m", max: "2m" } });
    const long = policyOf({
      name: "long",
      limit: 2,
      window: "1d",
      start: "first",
      blockFor: "10m",
    });
    const plain = policyOf({ name: "plain", limit: 9, window: "1d" });
    const check = (atMs: number, ...policies: (typeof short)[]) =>
      counters.check({ key: KEY, policies }, START_MS + atMs);
    check(0, short, long, plain);
    expect(check(1, short, long, plain)).toMatchObject([
      { allowed: false, reason: "blocked", retryAfterMs: 120_000 },
      { allowed: true, reason: "ok", remaining: 1 },
      { allowed: true, reason: "ok", remaining: 8 },
    ]);
    // `long` has nothing left for a cost of 2, but the request is blocked by `short` already.
    const costly = [short, { ...long, cost: 2 }, plain];
    expect(check(1_000, ...costly)).toMatchObject([
      { reason: "blocked", retryAfterMs: 119_001 },
      { reason: "limited" },
      { reason: "ok" },
    ]);
    expect(check(120_001, short, long, plain).every(({ allowed }) => allowed)).toBe(true);
    expect(check(180_001, short, long, plain)).toMatchObject([
      { reason: "ok" },
      { reason: "blocked", retryAfterMs: 86_400_000 - 180_001 },
      { reason: "ok", remaining: 7 },
    ]);
  });

  it("do not begin with a request that an operator has blocked, nor with a peek", () => {
    const counters = new Counters();
    const policy = policyOf({ blockFor: "1h" });
    const check = { key: KEY, policies: [policy] };
    counters.check(check, START_MS);
    counters.block(KEY, START_MS + 1_000);
    expect(counters.check(check, START_MS + 1)).toMatchObject([{ retryAfterMs: 59_999 }]);
    expect(counters.peek(check, START_MS + 2_000)).toMatchObject([
      { reason: "limited", retryAfterMs: 58_000 },
    ]);
    expect(counters.check(check, START_MS + 60_000)).toMatchObject([{ allowed: true }]);
  });

  it("are shown and not enforced in shadow", () => {
    const counters = new Counters();
    const policy = policyOf({ blockFor: "1h", shadow: true });
    const check = { key: KEY, policies: [policy] };
    const reasons = [0, 1, 60_000, 3_600_001].map(
      (atMs) => counters.check(check, START_MS + atMs)[0]?.reason,
    );
    expect(reasons).toEqual(["ok", "shadow", "shadow", "ok"]);
    const enforced = { ...policyOf({ name: "enforced", limit: 3, window: "1d" }) };
    const both = { key: { hi: 5, lo: 6 }, policies: [policy, enforced] };
    const pairs = [0, 1, 2, 3].map((atMs) =>
      counters.check(both, START_MS + atMs).map(({ reason }) => reason),
    );
    expect(pairs).toEqual([
      ["ok", "ok"],
      ["shadow", "ok"],
      ["shadow", "ok"],
      ["shadow", "limited"],
    ]);
  });

  it("leave nothing to take for a check that takes what is left", () => {
    const counters = new Counters();
    const policy = { ...policyOf({ limit: 3, blockFor: "1h", cost: 2 }), atMost: true as const };
    const check = { key: KEY, policies: [policy] };
    const taken = [0, 1, 2, 61_000, 3_600_002].map(
      (atMs) => counters.check(check, START_MS + atMs)[0]?.taken,
    );
    expect(taken).toEqual([2, 1, 0, 0, 2]);
  });

  it("stay when the policy's limit, window or algorithm changes", () => {
    const counters = new Counters();
    const ask = (change: Partial<PolicyInput>) =>
      counters.check({ key: KEY, policies: [policyOf({ blockFor: "1h", ...change })] }, START_MS);
    ask({});
    expect(ask({})).toMatchObject([{ reason: "blocked" }]);
    for (const change of [{ limit: 9 }, { window: "2h" }, { algorithm: "token-bucket" } as const]) {
      expect(ask(change)).toMatchObject([{ reason: "blocked", remaining: 0 }]);
    }
    expect(ask({ name: "other" })).toMatchObject([{ reason: "ok" }]);
    expect(ask({ limit: 9, blockFor: undefined } as Partial<PolicyInput>)).toMatchObject([
      { reason: "ok" },
    ]);
  });

  it("are part of what explains a key", () => {
    const counters = new Counters();
    const check = { key: KEY, policies: [policyOf({ blockFor: "1h" })] };
    counters.check(check, START_MS);
    counters.check(check, START_MS);
    expect(counters.explain(check, START_MS + 1_000)).toMatchObject([
      {
        remaining: 0,
        state: "1 of 1 spent in the window that ends in 59 s; blocked for 59 min 59 s more",
        nextUnitMs: 3_599_000,
      },
    ]);
  });

  it("take bounded memory: blocks that are over are evicted first", () => {
    const changed = new Set<string>();
    const counters = new Counters({ maxBytes: 40_000, onChange: (table) => changed.add(table) });
    const policy = policyOf({ limit: 0, blockFor: { first: "1s", max: "1s" } });
    for (let lo = 0; lo < 4_000; lo++) {
      counters.check({ key: { hi: 7, lo }, policies: [policy] }, START_MS + lo);
    }
    expect(counters.tables.size).toBeLessThan(1_500);
    expect(counters.tables.evicted).toBeGreaterThan(0);
    expect([...changed]).toEqual(["blocked-by/default"]);
    counters.tables.sweep(START_MS + 200_000);
    expect(counters.tables.size).toBe(0);
  });
});
