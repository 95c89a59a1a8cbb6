import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CounterTable } from "../../src/owner/counter-table.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";

/** Few keys in few slots, so that runs, holes and wrap-arounds are frequent. */
const key = fc.record({
  hi: fc.nat(2),
  lo: fc.oneof(fc.nat(20), fc.integer({ min: 60, max: 66 })),
});
const command = fc.oneof(
  fc.record({ set: key, state: fc.tuple(fc.integer({ min: 1, max: 100 }), fc.nat(9)) }),
  fc.record({ delete: key }),
  fc.record({ sweepMs: fc.nat(100) }),
  fc.record({ copy: fc.constant(true) }),
);

const idOf = ({ hi, lo }: KeyHash) => `${hi}:${lo}`;

describe("counter table", () => {
  it("does what a Map does, through any sequence of calls", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        let table = new CounterTable(2);
        const model = new Map<string, [number, number]>();
        const seen = new Map<string, KeyHash>();
        for (const step of commands) {
          if ("set" in step) {
            const { set, state } = step;
            seen.set(idOf(set), set);
            table.set(set, state);
            model.set(idOf(set), state);
          } else if ("delete" in step) {
            table.delete(step.delete);
            model.delete(idOf(step.delete));
          } else if ("sweepMs" in step) {
            table.sweep(step.sweepMs);
            for (const [id, state] of model) if (state[0] <= step.sweepMs) model.delete(id);
          } else {
            table = new CounterTable(2, table.toBytes());
          }
          expect(table.size).toBe(model.size);
          for (const [id, each] of seen) expect(table.get(each)).toEqual(model.get(id));
          const last = Math.max(0, ...[...model.values()].map(([expiresAtMs]) => expiresAtMs));
          expect(table.lastExpiryMs()).toBe(last);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("grows, keeps 100,000 keys apart, and gives the memory back", () => {
    const table = new CounterTable(2);
    const keys = Array.from({ length: 100_000 }, (_, n) => ({
      hi: n * 7,
      lo: (n * 2654435761) >>> 0,
    }));
    for (const [n, each] of keys.entries()) table.set(each, [1 + n, n]);
    expect(table.size).toBe(100_000);
    expect(table.toBytes().length).toBe(100_000 * 24);
    for (const [n, each] of keys.entries()) expect(table.get(each)?.[1]).toBe(n);
    table.sweep(99_990);
    expect(table.size).toBe(10);
  });
});
