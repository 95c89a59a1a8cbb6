import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { decodeBatch, encodeBatch, WIRE_VERSION } from "../../src/protocol/wire.ts";
import {
  type Answer,
  decodeAnswer,
  encodeAnswer,
  isOtherVersion,
} from "../../src/protocol/wire-answer.ts";
import {
  DECIDED,
  HELD,
  MOVED,
  PLAIN,
  RECORDED,
  RECORDED_HOLDS,
  SETTLED,
  SPENT,
} from "./recorded.ts";

const half = fc.integer({ min: 0, max: 0xffff_ffff });
const policies = [1, 2, 3].map(
  (limit): CounterPolicy => ({
    name: `p${limit}`,
    algorithm: "fixed-window",
    limit,
    windowMs: 1_000,
    capacity: limit,
    cost: 1,
    shadow: false,
    durable: false,
  }),
);
const batches = fc.array(
  fc.record({
    key: fc.record({ hi: half, lo: half }),
    policies: fc.subarray(policies, { minLength: 1 }),
    spentAtMs: fc.option(fc.nat(), { nil: undefined }),
  }),
);
const id = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const holds = fc.oneof(
  fc.constant({}),
  fc.record({ reserve: fc.record({ id, ttlMs: fc.nat() }) }),
  fc.record({ settle: fc.record({ id, actual: fc.nat(), isMade: fc.boolean() }) }),
);
const verdict = fc.record({
  remaining: fc.nat(),
  resetMs: fc.nat(),
  retryAfterMs: fc.nat(),
  delayMs: fc.nat(),
  reason: fc.constantFrom("ok", "shadow", "limited", "blocked"),
  limit: fc.option(fc.nat(), { nil: undefined }),
});

describe("the wire", () => {
  it("carries any batch, and tells each policy once", () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const wire = structuredClone(encodeBatch({ version: 7, checks: batch }));
        expect(wire.policies.length).toBeLessThanOrEqual(policies.length);
        expect(decodeBatch(wire)).toEqual({ version: 7, checks: batch });
      }),
    );
  });

  it("carries the holds of any batch, and what became of them", () => {
    fc.assert(
      fc.property(batches, fc.infiniteStream(holds), (plain, stream) => {
        const batch = plain.map((check) => ({ ...check, ...stream.next().value }));
        const wire = structuredClone(encodeBatch({ version: 7, checks: batch }));
        expect(decodeBatch(wire)).toEqual({ version: 7, checks: batch });
        const was = batch.map(({ settle }) => (settle ? "live" : undefined));
        const answer: Answer = { atMs: 1, epoch: 2, verdicts: batch.map(() => undefined), was };
        expect(decodeAnswer(structuredClone(encodeAnswer(answer)), batch)).toEqual(answer);
      }),
    );
  });

  it("carries holds as it was recorded", () => {
    const { held, settled } = RECORDED_HOLDS;
    expect(encodeBatch(HELD)).toEqual(held);
    expect(decodeBatch(held)).toEqual(HELD);
    expect(encodeAnswer(SETTLED)).toEqual(settled);
    expect(decodeAnswer(settled, HELD.checks.slice(2))).toEqual(SETTLED);
  });

  it("carries any answer", () => {
    fc.assert(
      fc.property(
        batches,
        fc.infiniteStream(verdict),
        fc.nat(),
        fc.nat(),
        fc.infiniteStream(fc.constantFrom("inexact", "ended", undefined)),
        (batch, stream, atMs, epoch, flags) => {
          const verdicts = batch.map((check) =>
            check.policies.map(() => {
              const each = stream.next().value;
              const { limit, ...plain } = each;
              const said = limit === undefined ? plain : each;
              return { ...said, allowed: each.reason === "ok" || each.reason === "shadow" };
            }),
          );
          const answer: Answer = { atMs, epoch, verdicts };
          for (const at of batch.keys()) {
            const flag: "inexact" | "ended" | undefined = flags.next().value;
            if (!flag) continue;
            answer[flag] ??= [];
            answer[flag][at] = true;
          }
          const wire = structuredClone(encodeAnswer(answer));
          expect(decodeAnswer(wire, batch)).toEqual(answer);
        },
      ),
    );
  });
});

describe.each(RECORDED)("wire version $wireVersion", (recorded) => {
  const { wireVersion, plain, spent, decided, moved } = recorded;

  it("is read as it was recorded", () => {
    expect(decodeBatch(plain)).toEqual(PLAIN);
    expect(decodeBatch(spent)).toEqual(SPENT);
    expect(decodeAnswer(decided, PLAIN.checks)).toEqual(DECIDED);
    expect(decodeAnswer(moved, SPENT.checks)).toEqual(MOVED);
  });

  it("is the version in which a batch of that version is answered", () => {
    expect(encodeAnswer(DECIDED, wireVersion)).toEqual(decided);
    expect(encodeAnswer(MOVED, wireVersion)).toEqual(moved);
  });

  it("crosses the RPC without any byte beside its numbers", () => {
    const answer = encodeAnswer(DECIDED, wireVersion) as Float64Array;
    expect(answer.buffer.byteLength).toBe(answer.byteLength);
  });
});

describe("another version of the wire", () => {
  const [, latest] = RECORDED;

  it("does not change what is written, as long as its number stays", () => {
    expect(RECORDED.at(-1)?.wireVersion).toBe(WIRE_VERSION);
    expect(encodeBatch(PLAIN)).toEqual(latest?.plain);
    expect(encodeBatch(SPENT)).toEqual(latest?.spent);
    expect(encodeAnswer(DECIDED)).toEqual(latest?.decided);
  });

  it("is answered in the highest version that the owner writes", () => {
    expect(encodeAnswer(DECIDED, WIRE_VERSION + 1)).toEqual(latest?.decided);
  });

  it("may add fields to a batch, which are not read", () => {
    expect(decodeBatch({ ...latest?.plain, wireVersion: 3, more: [1] } as never)).toEqual(PLAIN);
  });

  it("is told from an answer that makes no sense", () => {
    const numbers = latest?.decided as Float64Array;
    const later = Float64Array.of(WIRE_VERSION + 1, ...numbers.slice(1));
    const early = numbers.slice(2);
    const short = numbers.slice(0, -1);
    const others = [later, { numbers: later }, early];
    for (const each of [...others, short]) expect(decodeAnswer(each, PLAIN.checks)).toBeUndefined();
    expect(others.map(isOtherVersion)).toEqual(others.map(() => true));
    const nonsense = [
      short,
      new Float64Array(),
      { numbers: [3] },
      {},
      null,
      undefined,
      "denied",
      3,
    ];
    expect(nonsense.map(isOtherVersion)).toEqual(nonsense.map(() => false));
  });
});
