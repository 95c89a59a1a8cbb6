import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CounterPolicy } from "../../src/counters/counters.ts";
import {
  type Answer,
  decodeAnswer,
  decodeBatch,
  encodeAnswer,
  encodeBatch,
} from "../../src/protocol/wire.ts";

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
const verdict = fc.record({
  remaining: fc.nat(),
  resetMs: fc.nat(),
  retryAfterMs: fc.nat(),
  delayMs: fc.nat(),
  reason: fc.constantFrom("ok", "shadow", "limited", "blocked"),
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

  it("carries any answer", () => {
    fc.assert(
      fc.property(
        batches,
        fc.infiniteStream(verdict),
        fc.nat(),
        fc.nat(),
        fc.infiniteStream(fc.constantFrom("unsure", "ended", undefined)),
        (batch, stream, atMs, epoch, flags) => {
          const verdicts = batch.map((check) =>
            check.policies.map(() => {
              const each = stream.next().value;
              return { ...each, allowed: each.reason === "ok" || each.reason === "shadow" };
            }),
          );
          const answer: Answer = { atMs, epoch, verdicts };
          for (const at of batch.keys()) {
            const flag: "unsure" | "ended" | undefined = flags.next().value;
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
