/**
 * HyperLogLog (Flajolet and others, 2007): estimates the number of distinct values from 4 KB,
 * however many there are.
 *
 * The estimate is Ertl's of 2017 (https://arxiv.org/abs/1702.01284, algorithm 6), which has no bias
 * that depends on the number of values. Its standard error is `DISTINCT_ERROR`: two of three
 * estimates are within it, and 95 of 100 within twice as much.
 */
import type { KeyHash } from "../ring/key-hash.ts";

const INDEX_BITS = 12;
const REGISTERS = 2 ** INDEX_BITS;
/** Bits of the hash that are ranked; the other bits choose the register. */
const RANK_BITS = 64 - INDEX_BITS;
const HIGH_RANK_BITS = 32 - INDEX_BITS;

/** The standard error of an estimate, as a share of it: 1.04 / √4,096, so 1.6 %. */
export const DISTINCT_ERROR = 1.04 / Math.sqrt(REGISTERS);

export class HyperLogLog {
  /** The highest rank of the hashes that fell to each register; 0 for none. */
  readonly registers: Uint8Array<ArrayBuffer>;

  constructor(registers = new Uint8Array(REGISTERS)) {
    this.registers = registers;
  }

  add({ hi, lo }: KeyHash): void {
    const index = hi >>> HIGH_RANK_BITS;
    const high = hi & (2 ** HIGH_RANK_BITS - 1);
    // The place of the first 1 among the bits that do not choose the register.
    const rank =
      high > 0
        ? Math.clz32(high) - INDEX_BITS + 1
        : HIGH_RANK_BITS + (lo === 0 ? 32 : Math.clz32(lo)) + 1;
    this.#raise(index, rank);
  }

  merge(other: HyperLogLog): void {
    for (const [index, rank] of other.registers.entries()) this.#raise(index, rank);
  }

  estimate(): number {
    const counts = new Array<number>(RANK_BITS + 2).fill(0);
    for (const rank of this.registers) counts[rank] = (counts[rank] ?? 0) + 1;
    const share = (rank: number) => (counts[rank] ?? 0) / REGISTERS;
    let sum = REGISTERS * tau(1 - share(RANK_BITS + 1));
    for (let rank = RANK_BITS; rank >= 1; rank--) sum = (sum + (counts[rank] ?? 0)) / 2;
    sum += REGISTERS * sigma(share(0));
    return REGISTERS ** 2 / (2 * Math.LN2 * sum);
  }

  #raise(index: number, rank: number): void {
    if (rank > (this.registers[index] ?? 0)) this.registers[index] = rank;
  }
}

/** Corrects for registers that are still 0. */
function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let [x, y, sum, before] = [share, 1, share, Number.NaN];
  while (sum !== before) {
    before = sum;
    x *= x;
    sum += x * y;
    y *= 2;
  }
  return sum;
}

/** Corrects for registers that are full. */
function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let [x, y, sum, before] = [share, 1, 1 - share, Number.NaN];
  while (sum !== before) {
    before = sum;
    x = Math.sqrt(x);
    y /= 2;
    sum -= (1 - x) ** 2 * y;
  }
  return sum / 3;
}
