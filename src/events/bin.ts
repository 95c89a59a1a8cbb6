/**
 * What was counted in one second, minute or hour, under all names, within a bound on memory.
 *
 * Past the bound, the largest sketch evicts its lightest entry. So a name with few tuples stays
 * exact beside one with millions.
 */
import type { SpaceSaving } from "./space-saving.ts";
import { type EncodedTally, Tally, type ValueHash } from "./tally.ts";
import { UNKNOWN } from "./tuple.ts";

/** The most names in a bin. Further names count as `OTHER_NAME`. */
export const MAX_NAMES = 64;
export const OTHER_NAME = "other";

export type EncodedBin = [startMs: number, ...tallies: [name: string, tally: EncodedTally][]];

export class Bin {
  readonly startMs: number;
  readonly tallies = new Map<string, Tally>();
  readonly #maxBytes: number;
  readonly #hash: ValueHash;

  /** @param maxBytes bound on all entries, as {@link SpaceSaving} estimates them */
  constructor(startMs: number, maxBytes: number, hash: ValueHash) {
    this.startMs = startMs;
    this.#maxBytes = maxBytes;
    this.#hash = hash;
  }

  add(name: string, key: string, amount: number): void {
    const tally = this.#tallyOf(name);
    if (tally) tally.add(key, amount);
    else this.#other().add(UNKNOWN, amount);
    this.#shrink();
  }

  merge(other: Bin): void {
    for (const [name, tally] of other.tallies) this.mergeTally(name, tally);
  }

  mergeTally(name: string, tally: Tally): void {
    const mine = this.#tallyOf(name);
    if (mine) mine.merge(tally);
    else this.#other().add(UNKNOWN, tally.total);
    this.#shrink();
  }

  encode(): EncodedBin {
    return [this.startMs, ...Array.from(this.tallies, encodeTally)];
  }

  static decode([startMs, ...tallies]: EncodedBin, maxBytes: number, hash: ValueHash): Bin {
    const bin = new Bin(startMs, maxBytes, hash);
    for (const [name, tally] of tallies) bin.tallies.set(name, Tally.decode(tally, hash));
    return bin;
  }

  #tallyOf(name: string): Tally | undefined {
    const known = this.tallies.get(name);
    if (known || this.tallies.size >= MAX_NAMES) return known;
    const tally = new Tally(this.#hash);
    this.tallies.set(name, tally);
    return tally;
  }

  #other(): Tally {
    const other = this.tallies.get(OTHER_NAME) ?? new Tally(this.#hash);
    this.tallies.set(OTHER_NAME, other);
    return other;
  }

  #shrink(): void {
    for (;;) {
      let bytes = 0;
      let largest: { tally: Tally; sketch: SpaceSaving } | undefined;
      for (const tally of this.tallies.values()) {
        for (const sketch of tally.sketches()) {
          bytes += sketch.bytes;
          if (sketch.bytes > (largest?.sketch.bytes ?? 0)) largest = { tally, sketch };
        }
      }
      if (bytes <= this.#maxBytes || !largest) return;
      if (largest.tally.isSplit) largest.sketch.evict();
      else largest.tally.split();
    }
  }
}

function encodeTally([name, tally]: [string, Tally]): [string, EncodedTally] {
  return [name, tally.encode()];
}
