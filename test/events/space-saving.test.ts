import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SpaceSaving } from "../../src/events/space-saving.ts";

/** Keys such that a few are frequent. */
const key = fc.nat(30).map((n) => `k${Math.floor(n ** 2 / 30)}`);
const stream = fc.array(fc.tuple(key, fc.integer({ min: 1, max: 9 })), { maxLength: 300 });
const entries = fc.integer({ min: 1, max: 40 });

function sketchOf(events: readonly (readonly [string, number])[], most: number): SpaceSaving {
  const sketch = new SpaceSaving();
  for (const [each, amount] of events) {
    sketch.add(each, amount);
    while (sketch.size > most) sketch.evict();
  }
  return sketch;
}

function exactly(events: readonly (readonly [string, number])[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [each, amount] of events) counts.set(each, (counts.get(each) ?? 0) + amount);
  return counts;
}

/** Each true count is between its bounds. */
function expectBounds(sketch: SpaceSaving, counts: Map<string, number>): void {
  for (const { key: each, count, error } of sketch.entries()) {
    expect(counts.get(each)).toBeLessThanOrEqual(count);
    expect(counts.get(each)).toBeGreaterThanOrEqual(count - error);
  }
  for (const [each, count] of counts) {
    if (!sketch.get(each)) expect(count).toBeLessThanOrEqual(sketch.floor);
  }
}

const totalOf = (counts: Map<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0);

describe("Space-Saving", () => {
  it("is exact while nothing was evicted", () => {
    fc.assert(
      fc.property(stream, (events) => {
        const sketch = sketchOf(events, 1_000);
        const found = Array.from(sketch.entries(), (each) => [each.key, each.count, each.error]);
        expect(found).toEqual(Array.from(exactly(events), ([each, count]) => [each, count, 0]));
      }),
    );
  });

  it("keeps each true count between its bounds", () => {
    fc.assert(
      fc.property(stream, entries, (events, most) => {
        const sketch = sketchOf(events, most);
        const counts = exactly(events);
        expectBounds(sketch, counts);
        expect(sketch.size).toBeLessThanOrEqual(most);
        expect(sketch.floor).toBeLessThanOrEqual(totalOf(counts) / most);
      }),
    );
  });

  it("keeps each key above its share of the total", () => {
    fc.assert(
      fc.property(stream, entries, (events, most) => {
        const sketch = sketchOf(events, most);
        const counts = exactly(events);
        for (const [each, count] of counts) {
          if (count > totalOf(counts) / most) expect(sketch.get(each)?.key).toBe(each);
        }
      }),
    );
  });

  it("keeps the bounds when sketches are merged, whatever each of them let go", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(stream, entries), { maxLength: 4 }), entries, (parts, most) => {
        const sketch = new SpaceSaving();
        for (const [events, kept] of parts) {
          sketch.merge(sketchOf(events, kept));
          while (sketch.size > most) sketch.evict();
        }
        expectBounds(sketch, exactly(parts.flatMap(([events]) => events)));
      }),
    );
  });
});
