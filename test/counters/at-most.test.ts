/** Checks that take what is left of their cost: what they take, and that no more is ever taken. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isVerdict } from "../../src/caller/call.ts";
import { Counters } from "../../src/counters/counters.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { decodeAnswer, encodeAnswer } from "../../src/protocol/wire-answer.ts";

const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };
const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

const policies = fc
  .array(
    fc.record({
      algorithm: fc.constantFrom(...NAMES),
      limit: fc.integer({ min: 0, max: 12 }),
      window: fc.constantFrom("1s", "2s"),
      shadow: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((several) =>
    several.map((each, at) => parsePolicy({ name: `p${at}`, ...each } as PolicyInput)),
  );

const steps = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.nat(5), fc.nat(300), fc.nat(2_500)),
    cost: fc.integer({ min: 1, max: 15 }),
    atMost: fc.boolean(),
    isPeek: fc.boolean(),
    isGivenBack: fc.boolean(),
    blockMs: fc.option(fc.nat(200), { freq: 10 }),
  }),
  { minLength: 1, maxLength: 30 },
);

describe("a check that takes what is left", () => {
  it("takes the least that all enforced policies leave, all or none, and says how much", () => {
    fc.assert(
      fc.property(policies, steps, (several, each) => {
        const counters = new Counters();
        let atMs = START_MS;
        for (const { afterMs, cost, atMost, isPeek, isGivenBack, blockMs } of each) {
          atMs += afterMs;
          if (blockMs !== null) counters.block(KEY, atMs + blockMs);
          const costing = (units: number) =>
            several.map((policy) => {
              const most = policy.shadow ? units : policy.capacity || 1;
              return { ...policy, cost: Math.min(units, most) };
            });
          const may = (units: number) =>
            counters.peek({ key: KEY, policies: costing(units) }, atMs).every(({ allowed }, at) => {
              const { shadow = false, capacity = 0 } = several[at] ?? {};
              return allowed && (shadow || units <= capacity);
            });
          const remaining = () =>
            counters.peek({ key: KEY, policies: costing(1) }, atMs).map((one) => one.remaining);
          if (!atMost) {
            counters.check({ key: KEY, policies: costing(cost) }, atMs);
            continue;
          }
          // The slow way: the largest amount that an ordinary check would let pass.
          let most = cost;
          const before = remaining();
          while (most > 0 && !may(most)) most--;
          const asked = costing(cost).map((policy) => ({ ...policy, atMost: true as const }));
          const verb = isPeek ? "peek" : "check";
          const verdicts = counters[verb]({ key: KEY, policies: asked }, atMs);
          for (const verdict of verdicts) expect(verdict.taken).toBe(most);
          const taken = verdicts[0]?.taken as number;
          expect(verdicts.every(({ allowed }) => allowed)).toBe(taken > 0);
          for (const [at, verdict] of verdicts.entries()) {
            const policy = asked[at] as (typeof asked)[0];
            expect(verdict.taken).toBe(taken);
            expect(isVerdict(verdict, policy)).toBe(true);
            const spends = verdict.reason === "ok" && taken > 0 && !isPeek;
            expect(verdict.remaining).toBe((before[at] as number) - (spends ? taken : 0));
          }
          if (!isGivenBack || isPeek || taken === 0) continue;
          const spent = asked.filter((_, at) => verdicts[at]?.reason === "ok");
          const returned = spent.map((policy) => ({ ...policy, cost: taken }));
          counters.refund({ key: KEY, policies: returned, spentAtMs: atMs }, atMs);
          expect(remaining()).toEqual(before);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("is asked again when a unit is left, and denied until then", () => {
    const counters = new Counters();
    const policy = parsePolicy({ limit: 10, window: "10s", algorithm: "token-bucket", cost: 10 });
    const check = { key: KEY, policies: [{ ...policy, atMost: true as const }] };
    expect(counters.check(check, START_MS)[0]).toMatchObject({ allowed: true, taken: 10 });
    expect(counters.check(check, START_MS)[0]).toMatchObject({
      allowed: false,
      taken: 0,
      retryAfterMs: 1_000,
    });
    expect(counters.check(check, START_MS + 2_500)[0]).toMatchObject({ allowed: true, taken: 2 });
  });

  it("crosses the wire beside others, which take no more bytes for it", () => {
    const plain = parsePolicy({ name: "plain", limit: 3, window: "1s" });
    const most = { ...parsePolicy({ limit: 3, window: "1s", cost: 2 }), atMost: true as const };
    const checks = [
      { key: KEY, policies: [plain] },
      { key: KEY, policies: [most] },
      { key: { hi: 3, lo: 4 }, policies: [plain] },
      { key: KEY, policies: [most] },
    ];
    const counters = new Counters();
    const verdicts = checks.map((check) => counters.check(check, START_MS));
    const answer = { atMs: START_MS, epoch: 1, verdicts };
    const wire = encodeAnswer(answer);
    expect(decodeAnswer(structuredClone(wire), checks)).toEqual(answer);
    expect(verdicts.map((each) => each[0]?.taken)).toEqual([undefined, 2, undefined, 1]);
    const [first] = verdicts;
    expect(encodeAnswer({ ...answer, verdicts: [first] })).toBeInstanceOf(Float64Array);
  });

  it.each([Number.NaN, -1, 0.5, 3, "2", null, {}])("believes no owner that took %j", (taken) => {
    const policy = { ...parsePolicy({ limit: 3, window: "1s", cost: 2 }), atMost: true as const };
    const check = { key: KEY, policies: [policy] };
    const verdicts = [new Counters().check(check, START_MS)];
    const wire = encodeAnswer({ atMs: START_MS, epoch: 1, verdicts }) as { taken: unknown[] };
    wire.taken[0] = taken;
    const [[verdict] = []] = decodeAnswer(wire, [check])?.verdicts ?? [];
    expect(verdict && isVerdict(verdict, policy)).toBe(false);
  });
});
