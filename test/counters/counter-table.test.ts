import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CounterTable } from "../../src/counters/counter-table.ts";
import type { FixedRows } from "../../src/counters/fixed-rows.ts";
import { newSegment, newTable } from "../../src/counters/table-name.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import { keysUpTo } from "./keys-up-to.ts";

/**
 * Few keys in few slots, and some that go to the last slots, so that runs, holes and wrap-arounds
 * are frequent.
 */
const LAST_SLOTS = [0, 1, 2, 3, 4].map((n) => lowWordAt(0xffff_ffff - n));
const key = fc.record({
  hi: fc.nat(2),
  lo: fc.oneof(fc.nat(20), fc.constantFrom(...LAST_SLOTS)),
});
const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ set: key, expiresAtMs: fc.integer({ min: 1, max: 100 }) }) },
  { weight: 2, arbitrary: fc.record({ delete: key }) },
  fc.record({ sweepMs: fc.nat(100) }),
  fc.record({ sweepSomeMs: fc.nat(100), steps: fc.nat(9) }),
  fc.record({ copy: fc.constant(true) }),
);

/** Returns the low word whose product with the multiplier that finds a slot is this. */
function lowWordAt(product: number): number {
  let inverse = 1;
  for (let step = 0; step < 5; step++) {
    inverse = Math.imul(inverse, 2 - Math.imul(0x9e3779b9, inverse));
  }
  return Math.imul(product, inverse) >>> 0;
}

function copyOf(name: string, table: CounterTable): CounterTable {
  const copy = newTable(name);
  for (const [index, each] of table.segments.entries()) {
    const segment = newSegment(name, each.size);
    segment.addRows(each.toRows());
    copy.place(segment, index, table.segments.length, 0);
  }
  return copy;
}

const hashText = ({ hi, lo }: KeyHash) => `${hi}:${lo}`;

describe.each(["fixed-window/1/flat", "sliding-log/1/log"])("counter table %s", (name) => {
  it("does what a Map does, through any sequence of calls", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        let table = newTable(name);
        const model = new Map<string, readonly [number, number]>();
        const seen = new Map<string, KeyHash>();
        for (const [at, step] of commands.entries()) {
          if ("set" in step) {
            const state = [step.expiresAtMs, at] as const;
            seen.set(hashText(step.set), step.set);
            table.set(step.set, state);
            model.set(hashText(step.set), state);
          } else if ("delete" in step) {
            table.delete(step.delete);
            model.delete(hashText(step.delete));
          } else if ("sweepMs" in step) {
            table.sweep(step.sweepMs, Number.POSITIVE_INFINITY);
            for (const [id, state] of model) if (state[0] <= step.sweepMs) model.delete(id);
          } else if ("sweepSomeMs" in step) {
            table.sweep(step.sweepSomeMs, step.steps);
            for (const [id, state] of model) {
              const hash = seen.get(id) as KeyHash;
              if (state[0] <= step.sweepSomeMs && !table.get(hash)) model.delete(id);
            }
          } else {
            table = copyOf(name, table);
          }
          expect(table.size).toBe(model.size);
          for (const [id, each] of seen) expect(table.get(each)).toEqual(model.get(id));
          const last = Math.max(0, ...[...model.values()].map(([expiresAtMs]) => expiresAtMs));
          expect(table.lastExpiryMs).toBeGreaterThanOrEqual(last);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("keeps 30,000 keys apart while it grows, shrinks and is copied", () => {
    let table = newTable(name);
    const keys = keysUpTo(30_000);
    for (const [n, each] of keys.entries()) table.set(each, [1 + n, n]);
    expect(table.segments.length).toBeGreaterThan(3);
    table = copyOf(name, table);
    for (const [n, each] of keys.entries()) expect(table.get(each)).toEqual([1 + n, n]);
    for (const each of keys.slice(0, -10)) table.delete(each);
    expect(table.size).toBe(10);
    expect(table.segments.length).toBe(1);
    for (const [n, each] of keys.entries())
      expect(table.get(each)?.[1]).toBe(n < 29_990 ? undefined : n);
  });

  it("removes all expired rows in bounded steps, while keys are set", () => {
    const table = newTable(name);
    const keys = keysUpTo(30_000);
    for (const each of keys) table.set(each, [50, 1]);
    const { length } = table.segments;
    for (let call = 0; call < 30_000; call++) {
      table.set({ hi: call % 10, lo: 5 }, [150, 1]);
      table.sweep(100, 8);
    }
    expect(table.size).toBe(10);
    expect(length).toBeGreaterThan(3);
    expect(table.segments.length).toBe(1);
  });

  it("takes copies of a smaller table without a change of its size", () => {
    const keys = keysUpTo(30_000);
    const few = keys.slice(0, 10_000);
    const small = newTable(name);
    for (const each of few) small.set(each, [50, 2]);
    const table = newTable(name);
    for (const each of keys) table.set(each, [50, 1]);
    const { length } = table.segments;
    expect(small.segments.length).toBeLessThan(length);
    for (const [index, each] of small.segments.entries()) {
      const segment = newSegment(name, each.size);
      segment.addRows(each.toRows());
      table.place(segment, index, small.segments.length, 7);
      expect(table.segments.length).toBe(length);
    }
    expect(table.copiedAt).toEqual(table.segments.map(() => 7));
    expect(table.bytes).toBe(small.bytes);
    expect(table.size).toBe(few.length);
    for (const each of few) expect(table.get(each)).toEqual([50, 2]);
  });
});

describe("flat counter table", () => {
  const name = "fixed-window/1/flat";
  const bytesOf = ({ segments }: CounterTable) =>
    segments.reduce((total, segment) => total + (segment as FixedRows).bufferBytes, 0);

  it("takes at most 48 bytes a key at any size, in pieces below 1 MB", () => {
    const table = newTable(name);
    for (const [n, each] of keysUpTo(200_000).entries()) {
      table.set(each, [1, n]);
      if (n < 1_000 || n % 1_000 > 0) continue;
      expect(bytesOf(table) / table.size).toBeLessThanOrEqual(48);
    }
    for (const { size } of table.segments) expect(size).toBeLessThan(25_000);
    for (const segment of table.segments) expect(segment.toRows().length).toBeLessThan(100_000);
  });

  it("gives back the memory of removed rows", () => {
    const table = newTable(name);
    for (const [n, each] of keysUpTo(100_000).entries()) table.set(each, [1 + n, n]);
    table.sweep(99_990, Number.POSITIVE_INFINITY);
    expect(table.size).toBe(10);
    expect(bytesOf(table)).toBeLessThan(1_000);
  });
});
