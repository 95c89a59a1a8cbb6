/**
 * What is read from tallies: the heaviest tuples, the number of distinct values, and a series.
 * Pure.
 *
 * Each count comes with its error: the truth is between `count − error` and `count`.
 */
import type { TallyAt } from "./event-store.ts";
import { DISTINCT_ERROR } from "./hyper-log-log.ts";
import { type Level, startOf } from "./level.ts";
import type { Tally } from "./tally.ts";
import { type Dimensions, dimensionsOf, keyOf, pairsOf } from "./tuple.ts";

/** A count whose truth is between `count − error` and `count`. */
export interface Count {
  count: number;
  error: number;
}

export interface TopEntry extends Count {
  dimensions: Dimensions;
}

export interface Top {
  /** All units in the range, exact. */
  total: number;
  /** Units whose tuples are no longer known. */
  other: number;
  /** Units of names that bins did not keep apart. Some may be of this name. Absent if 0. */
  otherNames?: number;
  /** The heaviest first. What is not listed has at most the count of the last entry. */
  entries: TopEntry[];
  /** The dimensions of `by` that no event in the range has, perhaps by a typing error. */
  missing?: string[];
}

/**
 * An estimate of the number of distinct values: `error` is the standard error of `count`, and how
 * many more there may be among units without a tuple.
 */
export interface Distinct extends Count {
  /** Whether every value is known, so that the count has no error. */
  exact: boolean;
}

/**
 * A point of a series: when its bin begins, ms since the epoch, and the bin's count. The error
 * includes units of names that the bin did not keep apart, since some may be of this name.
 */
export interface Point extends Count {
  atMs: number;
}

/**
 * Returns the heaviest tuples, or the heaviest values of the dimensions `by`.
 *
 * Events that lack one of these dimensions are in the total only.
 */
export function topOf(tally: Tally, by: readonly string[], n = Number.POSITIVE_INFINITY): Top {
  const { total, other, unknown } = tally;
  const entries = groups(tally, by).sort((a, b) => b.count - a.count);
  const heaviest = entries.slice(0, n).map(({ dimensions, count, error }) => {
    return { dimensions, count: count + unknown, error: error + unknown };
  });
  const top: Top = { total, other, entries: heaviest };
  // Units without a tuple may have had any dimension.
  if (entries.length > 0 || total === unknown) return top;
  const known = tally.dimensions();
  const missing = by.filter((dimension) => !known.has(dimension));
  return missing.length > 0 ? { ...top, missing } : top;
}

/** @param otherNames units that may be of the tally's name, beside those in it */
export function distinctOf(tally: Tally, dimension: string, otherNames: number): Distinct {
  const values = tally.dimensions().get(dimension);
  // Each of these units may have a value of its own.
  const unseen = tally.unknown + otherNames;
  const isSketch = tally.isSplit && values !== undefined;
  const count = isSketch ? Math.round(values.distinct.estimate()) : (values?.heaviest.size ?? 0);
  const error = isSketch ? Math.ceil(count * DISTINCT_ERROR) : 0;
  return { count, error: error + unseen, exact: !tally.isSplit && unseen === 0 };
}

/**
 * Adds to the points of a series what bins counted: under its name, and of names that they did not
 * keep apart, which is all error.
 */
export function addToSeries(
  points: Map<number, Point>,
  tallies: Iterable<TallyAt>,
  { name, filter, level }: { name: string; filter: Dimensions; level: Level },
): void {
  for (const { startMs, name: counted, tally } of tallies) {
    const others = { count: tally.unknown, error: tally.unknown };
    const { count, error } = counted === name ? matching(tally, filter) : others;
    const atMs = startOf(level, startMs);
    const known = points.get(atMs) ?? { atMs, count: 0, error: 0 };
    points.set(atMs, { atMs, count: known.count + count, error: known.error + error });
  }
}

/** Counts the events with all values of a filter. */
function matching(tally: Tally, filter: Dimensions): Count {
  const wanted = Object.entries(filter);
  const [first, ...others] = wanted;
  if (!first) return { count: tally.total, error: 0 };
  const { unknown } = tally;
  if (tally.isSplit) {
    const dimensions = tally.dimensions();
    if (wanted.some(([name]) => !dimensions.has(name))) return { count: unknown, error: unknown };
    const heaviest = dimensions.get(first[0])?.heaviest;
    const sketch = others.length === 0 ? heaviest : undefined;
    const isWhole = wanted.length === dimensions.size;
    const whole = isWhole ? tally.tuples : undefined;
    const [from, key] = sketch ? [sketch, first[1]] : [whole, keyOf(filter)];
    if (from) {
      const { count, error } = from.get(key) ?? { count: from.floor, error: from.floor };
      return { count: count + unknown, error: error + unknown };
    }
  }
  let certain = 0;
  for (const { key, count, error } of tally.tuples.entries()) {
    const dimensions = dimensionsOf(key);
    if (wanted.every(([name, value]) => dimensions[name] === value)) certain += count - error;
  }
  return { count: certain + tally.other, error: tally.other };
}

/** Returns the counts by the dimensions in `by`. Without dimensions, returns each tuple. */
function groups(tally: Tally, by: readonly string[]): TopEntry[] {
  const [first, ...others] = by;
  if (first === undefined) {
    return Array.from(tally.tuples.entries(), ({ key, count, error }) => {
      return { dimensions: dimensionsOf(key), count, error };
    });
  }
  if (tally.isSplit && others.length === 0) {
    const values = tally.dimensions().get(first)?.heaviest.entries() ?? [];
    return Array.from(values, ({ key, count, error }) => {
      return { dimensions: { [first]: key }, count, error };
    });
  }
  return severalBy(tally, by);
}

function severalBy(tally: Tally, by: readonly string[]): TopEntry[] {
  const isWhole = tally.isSplit && by.length === tally.dimensions().size;
  const spread = tally.isSplit && !isWhole ? tally.other - tally.unknown : 0;
  const found = new Map<string, TopEntry>();
  for (const { key, count, error } of tally.tuples.entries()) {
    const pairs = pairsOf(key).filter(([name]) => by.includes(name));
    if (pairs.length < by.length) continue;
    const dimensions = Object.fromEntries(pairs);
    const id = keyOf(dimensions);
    const known = found.get(id) ?? { dimensions, count: spread, error: spread };
    // An evicted tuple may belong to any group. A kept tuple has only its own error.
    known.count += isWhole ? count : count - error;
    known.error += isWhole ? error : 0;
    found.set(id, known);
  }
  return [...found.values()];
}
