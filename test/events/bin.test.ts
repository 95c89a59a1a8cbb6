import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bin, type EncodedBin, MAX_NAMES, OTHER_NAME } from "../../src/events/bin.ts";
import { DISTINCT_ERROR } from "../../src/events/hyper-log-log.ts";
import { dimensionsOf, keyOf } from "../../src/events/tuple.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";

const hashParts = keyHasher("a secret");
const hash = (value: string) => hashParts([value]);

type Event = [name: string, dimensions: Record<string, string>, amount: number];

/** Few values, some of them frequent; some events lack a dimension. */
const value = fc.nat(20).map((n) => `v${Math.floor(n ** 2 / 20)}`);
const event: fc.Arbitrary<Event> = fc.tuple(
  fc.constantFrom("api", "jobs"),
  fc.record({ customer: value, endpoint: value }, { requiredKeys: ["customer"] }),
  fc.integer({ min: 1, max: 9 }),
);
const events = fc.array(event, { maxLength: 200 });
/** From room for no entry to room for all. */
const maxBytes = fc.constantFrom(0, 2_000, 5_000, 1e6);

function binOf(counted: readonly Event[], bytes: number): Bin {
  const bin = new Bin(0, bytes, hash);
  for (const [name, dimensions, amount] of counted) bin.add(name, keyOf(dimensions), amount);
  return bin;
}

/** What was counted, by whatever `by` tells apart. */
function exactly(counted: readonly Event[], by: (event: Event) => string | undefined) {
  const counts = new Map<string, number>();
  for (const each of counted) {
    const key = by(each);
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + each[2]);
  }
  return counts;
}

function expectTruth(bin: Bin, counted: readonly Event[]): void {
  expect(new Map(Array.from(bin.tallies, ([name, { total }]) => [name, total]))).toEqual(
    exactly(counted, ([name]) => name),
  );
  for (const [name, tally] of bin.tallies) {
    const own = counted.filter((each) => each[0] === name);
    const sketches = [
      { sketch: tally.tuples, truth: exactly(own, ([, dimensions]) => keyOf(dimensions)) },
      ...Array.from(tally.dimensions(), ([dimension, { heaviest }]) => ({
        sketch: heaviest,
        truth: exactly(own, ([, dimensions]) => dimensions[dimension]),
      })),
    ];
    for (const { sketch, truth } of sketches) {
      for (const [key, count] of truth) {
        const entry = sketch.get(key) ?? { count: sketch.floor, error: sketch.floor };
        expect(count).toBeLessThanOrEqual(entry.count);
        expect(count).toBeGreaterThanOrEqual(entry.count - entry.error);
        if (!tally.isSplit) expect(entry).toMatchObject({ count, error: 0 });
      }
    }
    if (!tally.isSplit) expect(tally.other).toBe(0);
  }
}

const bytesOf = (bin: Bin) =>
  [...bin.tallies.values()].flatMap((tally) => tally.sketches()).reduce((a, b) => a + b.bytes, 0);

describe("a bin", () => {
  it("has exact totals, and true bounds for each tuple and value, within its bytes", () => {
    fc.assert(
      fc.property(events, maxBytes, (counted, bytes) => {
        const bin = binOf(counted, bytes);
        expectTruth(bin, counted);
        expect(bytesOf(bin)).toBeLessThanOrEqual(bytes);
      }),
    );
  });

  it("keeps them where bins are merged", () => {
    const parts = fc.array(fc.tuple(events, maxBytes), { maxLength: 4 });
    fc.assert(
      fc.property(parts, maxBytes, (several, bytes) => {
        const bin = new Bin(0, bytes, hash);
        for (const [counted, partBytes] of several) bin.merge(binOf(counted, partBytes));
        expectTruth(
          bin,
          several.flatMap(([counted]) => counted),
        );
        expect(bytesOf(bin)).toBeLessThanOrEqual(bytes);
      }),
    );
  });

  it("is the same after it was on disk", () => {
    fc.assert(
      fc.property(events, maxBytes, (counted, bytes) => {
        const bin = binOf(counted, bytes);
        const text = JSON.stringify(bin.encode());
        const read = Bin.decode(JSON.parse(text) as EncodedBin, bytes, hash);
        expect(JSON.stringify(read.encode())).toBe(text);
        expect(bytesOf(read)).toBe(bytesOf(bin));
        expectTruth(read, counted);
      }),
    );
  });

  it("keeps a quiet name exact beside one with too many tuples", () => {
    const bin = new Bin(0, 100_000, hash);
    for (let n = 0; n < 5_000; n++) {
      bin.add("flood", keyOf({ address: `a${n}` }), 1);
      bin.add("api", keyOf({ customer: `c${n % 10}` }), 1);
    }
    expect(bin.tallies.get("flood")?.isSplit).toBe(true);
    expect(bin.tallies.get("api")?.isSplit).toBe(false);
    const distinct = bin.tallies.get("flood")?.dimensions().get("address")?.distinct.estimate();
    expect(Math.abs((distinct ?? 0) - 5_000) / 5_000).toBeLessThan(3 * DISTINCT_ERROR);
  });

  it("counts names past the bound together", () => {
    const bin = new Bin(0, 1e6, hash);
    for (let n = 0; n < MAX_NAMES + 10; n++) bin.add(`name${n}`, keyOf({}), 2);
    expect(bin.tallies.size).toBe(MAX_NAMES + 1);
    expect(bin.tallies.get(OTHER_NAME)?.total).toBe(20);
  });
});

describe("the key of dimensions", () => {
  it("is the same in any order, and says what they are", () => {
    const dimensions = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string());
    fc.assert(
      fc.property(dimensions, dimensions, (one, other) => {
        const entries = Object.entries(one);
        expect(keyOf(Object.fromEntries(entries.toReversed()))).toBe(keyOf(one));
        expect(dimensionsOf(keyOf(one))).toEqual({ ...one });
        const isSame =
          JSON.stringify(entries.sort()) === JSON.stringify(Object.entries(other).sort());
        expect(keyOf(one) === keyOf(other)).toBe(isSame);
      }),
    );
  });
});
