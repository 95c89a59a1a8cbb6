/**
 * What was counted under one name: the total, which is always exact, and the tuples.
 *
 * While all tuples fit, they answer everything exactly. When the first tuple must be evicted, the
 * tally is split: from then on it also keeps, for each dimension by itself, the heaviest values and
 * how many distinct ones there were. The remaining tuples could no longer answer that.
 */
import type { KeyHash } from "../ring/key-hash.ts";
import { HyperLogLog } from "./hyper-log-log.ts";
import { type Entry, SpaceSaving } from "./space-saving.ts";
import { type Dimensions, dimensionsOf, pairsOf, UNKNOWN } from "./tuple.ts";

/** Hashes a value under the secret, the same in all owners. */
export type ValueHash = (value: string) => KeyHash;

/** The values of one dimension. */
export interface DimensionValues {
  heaviest: SpaceSaving;
  distinct: HyperLogLog;
}

/** Keys, counts and errors, one after the other, behind the floor. */
type EncodedEntries = (string | number)[];
/**
 * A tally as plain data: total, units without a tuple, tuples and, if the tally is split, each
 * dimension with its registers.
 */
export type EncodedTally = [
  total: number,
  unknown: number,
  tuples: EncodedEntries,
  dimensions?: [name: string, heaviest: EncodedEntries, registers: string][],
];

/** Asks only for the tuples of the heaviest values of a dimension. */
export interface Heaviest {
  by: string;
  n: number;
  /** Values are weighed by the tuples with all of these values. Default all tuples. */
  where?: Dimensions;
}

/** Registers are written as characters: this code stands for 0. */
const FIRST_LETTER = 48;

export class Tally {
  /** Units counted, exact. */
  total = 0;
  /** Units that a full sender counted without their tuples. Each tuple's error includes them. */
  unknown = 0;
  readonly tuples = new SpaceSaving();
  readonly #hash: ValueHash;
  #dimensions: Map<string, DimensionValues> | undefined;

  constructor(hash: ValueHash) {
    this.#hash = hash;
  }

  /** Whether tuples were evicted, so that answers have an error. */
  get isSplit(): boolean {
    return this.#dimensions !== undefined;
  }

  /** Units whose tuples are no longer known. */
  get other(): number {
    return this.isSplit ? this.total - sumOf(this.tuples.entries()) : this.unknown;
  }

  add(key: string, amount: number): void {
    this.total += amount;
    if (key === UNKNOWN) {
      this.unknown += amount;
      return;
    }
    this.tuples.add(key, amount);
    if (this.#dimensions) this.#addValues(this.#dimensions, key, amount);
  }

  merge(other: Tally): void {
    if (this.isSplit || other.isSplit) {
      const mine = this.split();
      for (const [name, { heaviest, distinct }] of other.dimensions()) {
        const values = valuesIn(mine, name);
        values.heaviest.merge(heaviest);
        values.distinct.merge(distinct);
      }
    }
    this.tuples.merge(other.tuples);
    this.total += other.total;
    this.unknown += other.unknown;
  }

  /** Makes the tally keep each dimension by itself from now on. */
  split(): Map<string, DimensionValues> {
    this.#dimensions ??= this.#gatherValues();
    return this.#dimensions;
  }

  /** Returns the values of each dimension by itself. */
  dimensions(): Map<string, DimensionValues> {
    return this.#dimensions ?? this.#gatherValues();
  }

  /**
   * Returns a tally with the tuples of the heaviest values alone.
   *
   * @param weighed the tally by whose tuples values are weighed
   */
  heaviest({ by, n, where = {} }: Heaviest, weighed: Tally = this): Tally {
    const { total, unknown } = this;
    const part = Object.assign(new Tally(this.#hash), { total, unknown });
    const wanted = Object.entries(where);
    const weights = new Map<string, number>();
    for (const { key, count, error } of weighed.tuples.entries()) {
      const dimensions = dimensionsOf(key);
      const value = dimensions[by];
      if (value === undefined) continue;
      const weighs = wanted.every(([name, text]) => dimensions[name] === text);
      weights.set(value, (weights.get(value) ?? 0) + (weighs ? count - error : 0));
    }
    const ranked = [...weights].sort(([, a], [, b]) => b - a).slice(0, n);
    const heaviest = new Set(ranked.map(([value]) => value));
    for (const { key, count, error } of this.tuples.entries()) {
      const value = dimensionsOf(key)[by];
      if (value !== undefined && heaviest.has(value)) part.tuples.add(key, count, error);
    }
    return part;
  }

  /** Returns the sketches, which the bound on memory covers. */
  sketches(): SpaceSaving[] {
    const values = [...(this.#dimensions?.values() ?? [])];
    return [this.tuples, ...values.map(({ heaviest }) => heaviest)];
  }

  encode(): EncodedTally {
    const tuples = encodeEntries(this.tuples);
    if (!this.#dimensions) return [this.total, this.unknown, tuples];
    const dimensions = Array.from(this.#dimensions, ([name, { heaviest, distinct }]) => {
      const letters = Array.from(distinct.registers, (rank) => FIRST_LETTER + rank);
      const registers = String.fromCharCode(...letters);
      return [name, encodeEntries(heaviest), registers] as [string, EncodedEntries, string];
    });
    return [this.total, this.unknown, tuples, dimensions];
  }

  static decode([total, unknown, tuples, dimensions]: EncodedTally, hash: ValueHash): Tally {
    const tally = new Tally(hash);
    tally.total = total;
    tally.unknown = unknown;
    decodeEntries(tuples, tally.tuples);
    if (!dimensions) return tally;
    tally.#dimensions = new Map();
    for (const [name, heaviest, registers] of dimensions) {
      const values = valuesIn(tally.#dimensions, name);
      decodeEntries(heaviest, values.heaviest);
      const ranks = Array.from(registers, (letter) => letter.charCodeAt(0) - FIRST_LETTER);
      values.distinct.registers.set(ranks);
    }
    return tally;
  }

  #gatherValues(): Map<string, DimensionValues> {
    const dimensions = new Map<string, DimensionValues>();
    for (const { key, count } of this.tuples.entries()) this.#addValues(dimensions, key, count);
    return dimensions;
  }

  #addValues(dimensions: Map<string, DimensionValues>, key: string, amount: number): void {
    for (const [name, value] of pairsOf(key)) {
      const { heaviest, distinct } = valuesIn(dimensions, name);
      heaviest.add(value, amount);
      distinct.add(this.#hash(value));
    }
  }
}

/** Returns the units that certainly belong to these entries. */
export function sumOf(entries: Iterable<Entry>): number {
  let sum = 0;
  for (const { count, error } of entries) sum += count - error;
  return sum;
}

function valuesIn(dimensions: Map<string, DimensionValues>, name: string): DimensionValues {
  let values = dimensions.get(name);
  if (!values) {
    values = { heaviest: new SpaceSaving(), distinct: new HyperLogLog() };
    dimensions.set(name, values);
  }
  return values;
}

function encodeEntries(sketch: SpaceSaving): EncodedEntries {
  const encoded: EncodedEntries = [sketch.floor];
  for (const { key, count, error } of sketch.entries()) encoded.push(key, count, error);
  return encoded;
}

function decodeEntries(encoded: EncodedEntries, sketch: SpaceSaving): void {
  for (let at = 1; at < encoded.length; at += 3) {
    sketch.add(encoded[at] as string, encoded[at + 1] as number, encoded[at + 2] as number);
  }
  sketch.floor = encoded[0] as number;
}
