import { HyperLogLog as OfOthers } from "bloom-filters";
import { describe, expect, it } from "vitest";
import { DISTINCT_ERROR, HyperLogLog } from "../../src/events/hyper-log-log.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";

const hash = keyHasher("a secret");

function sketchOf(from: number, to: number): HyperLogLog {
  const sketch = new HyperLogLog();
  for (let n = from; n < to; n++) sketch.add(hash([`value ${n}`]));
  return sketch;
}

/** Few, since its estimate has a bias until there are five times as many values as registers. */
const LIBRARY_REGISTERS = 256;

const errorOf = (estimate: number, truth: number) => Math.abs(estimate - truth) / truth;

describe("HyperLogLog", () => {
  it("knows of nothing", () => {
    expect(new HyperLogLog().estimate()).toBe(0);
  });

  it.each([1, 10, 100, 1_000, 5_000, 10_000, 20_000, 100_000])(
    "estimates %d values within three standard errors",
    (count) => {
      expect(errorOf(sketchOf(0, count).estimate(), count)).toBeLessThan(3 * DISTINCT_ERROR);
    },
  );

  it("has the standard error that it states", () => {
    const squares = Array.from({ length: 60 }, (_, at) => {
      const estimate = sketchOf(at * 2_000, (at + 1) * 2_000).estimate();
      return errorOf(estimate, 2_000) ** 2;
    });
    const error = Math.sqrt(squares.reduce((a, b) => a + b) / squares.length);
    expect(error).toBeLessThan(1.3 * DISTINCT_ERROR);
    expect(error).toBeGreaterThan(0.7 * DISTINCT_ERROR);
  });

  it("counts a value that two sketches have once", () => {
    const sketch = sketchOf(0, 30_000);
    sketch.merge(sketchOf(20_000, 50_000));
    expect(sketch.registers).toEqual(sketchOf(0, 50_000).registers);
  });

  it("agrees with a library's, which hashes and estimates by itself", () => {
    const other = new OfOthers(LIBRARY_REGISTERS);
    for (let n = 0; n < 5_000; n++) other.update(`value ${n}`);
    const ours = sketchOf(0, 5_000).estimate();
    expect(errorOf(ours, other.count())).toBeLessThan((4 * 1.04) / Math.sqrt(LIBRARY_REGISTERS));
  });
});
