/**
 * The counters of one policy in one flat buffer: open addressing, linear probing, no object per key.
 *
 * A row is 24 bytes: the 64-bit key hash, and the two numbers of a fixed window's state. Expired rows
 * stay until `sweep`, which rebuilds the table and so pauses in proportion to its size.
 */
import type { FixedWindowState } from "../limit/fixed-window.ts";
import type { KeyHash } from "../ring/key-hash.ts";

export const ROW_BYTES = 24;

const ROW_WORDS = ROW_BYTES / Uint32Array.BYTES_PER_ELEMENT;
const ROW_NUMBERS = ROW_BYTES / Float64Array.BYTES_PER_ELEMENT;
const MIN_SLOTS = 64;
const MAX_LOAD = 0.75;

export class CounterTable {
  #size = 0;
  /** Slots less one; they are a power of two, so `hash & mask` is a slot. */
  #mask = 0;
  /** A row's first two words: the hash, high half first. */
  #words = new Uint32Array();
  /** The same bytes; a row's second and third number: `expiresAtMs`, 0 where free, and `spent`. */
  #numbers = new Float64Array();

  /** @param rows what `toBytes` gave */
  constructor(rows = new Uint8Array()) {
    const words = new Uint32Array(rows.slice().buffer);
    const numbers = new Float64Array(words.buffer);
    this.#allocate(rows.length / ROW_BYTES);
    for (let row = 0; row < rows.length / ROW_BYTES; row++) this.#insert(words, numbers, row);
  }

  get size(): number {
    return this.#size;
  }

  get(key: KeyHash): FixedWindowState | undefined {
    const slot = this.#slotOf(key.hi, key.lo);
    if (this.#isFree(slot)) return undefined;
    return {
      expiresAtMs: this.#numbers[slot * ROW_NUMBERS + 1] as number,
      spent: this.#numbers[slot * ROW_NUMBERS + 2] as number,
    };
  }

  set(key: KeyHash, { expiresAtMs, spent }: FixedWindowState): void {
    let slot = this.#slotOf(key.hi, key.lo);
    if (this.#isFree(slot)) {
      if (this.#size >= (this.#mask + 1) * MAX_LOAD) {
        this.#keepWhere(() => true);
        slot = this.#slotOf(key.hi, key.lo);
      }
      this.#size++;
    }
    this.#words[slot * ROW_WORDS] = key.hi;
    this.#words[slot * ROW_WORDS + 1] = key.lo;
    this.#numbers[slot * ROW_NUMBERS + 1] = expiresAtMs;
    this.#numbers[slot * ROW_NUMBERS + 2] = spent;
  }

  /** Removes a key's counter; does nothing if there is none. */
  delete(key: KeyHash): void {
    let hole = this.#slotOf(key.hi, key.lo);
    if (this.#isFree(hole)) return;
    // Later rows of the same run move up, or a lookup would stop at the hole and miss them.
    for (let slot = (hole + 1) & this.#mask; !this.#isFree(slot); slot = (slot + 1) & this.#mask) {
      const home = (this.#words[slot * ROW_WORDS + 1] as number) & this.#mask;
      const fromHome = (slot - home) & this.#mask;
      const fromHole = (slot - hole) & this.#mask;
      if (fromHome < fromHole) continue;
      this.#words.copyWithin(hole * ROW_WORDS, slot * ROW_WORDS, (slot + 1) * ROW_WORDS);
      hole = slot;
    }
    this.#numbers[hole * ROW_NUMBERS + 1] = 0;
    this.#size--;
  }

  /** Removes what expired at or before `nowMs` and gives back the memory it took. */
  sweep(nowMs: number): void {
    this.#keepWhere((expiresAtMs) => expiresAtMs > nowMs);
  }

  /** The time at which the last counter expires, ms since the epoch; 0 if there is none. */
  lastExpiryMs(): number {
    let last = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      last = Math.max(last, this.#numbers[slot * ROW_NUMBERS + 1] as number);
    }
    return last;
  }

  /** The rows one after the other, `size * ROW_BYTES` bytes, in no order. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const rows = new Uint32Array(this.#size * ROW_WORDS);
    let row = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#isFree(slot)) continue;
      const start = slot * ROW_WORDS;
      rows.set(this.#words.subarray(start, start + ROW_WORDS), row++ * ROW_WORDS);
    }
    return new Uint8Array(rows.buffer);
  }

  #keepWhere(keep: (expiresAtMs: number) => boolean): void {
    const words = this.#words;
    const numbers = this.#numbers;
    const kept: number[] = [];
    for (let slot = 0; slot <= this.#mask; slot++) {
      const expiresAtMs = numbers[slot * ROW_NUMBERS + 1] as number;
      if (expiresAtMs !== 0 && keep(expiresAtMs)) kept.push(slot);
    }
    this.#allocate(kept.length + 1);
    for (const slot of kept) this.#insert(words, numbers, slot);
  }

  #allocate(rows: number): void {
    let slots = MIN_SLOTS;
    while (rows > slots * MAX_LOAD) slots *= 2;
    this.#mask = slots - 1;
    this.#size = 0;
    const buffer = new ArrayBuffer(slots * ROW_BYTES);
    this.#words = new Uint32Array(buffer);
    this.#numbers = new Float64Array(buffer);
  }

  /** Copies a row from other views of the same layout. */
  #insert(words: Uint32Array, numbers: Float64Array, row: number): void {
    this.set(
      { hi: words[row * ROW_WORDS] as number, lo: words[row * ROW_WORDS + 1] as number },
      {
        expiresAtMs: numbers[row * ROW_NUMBERS + 1] as number,
        spent: numbers[row * ROW_NUMBERS + 2] as number,
      },
    );
  }

  /** The key's slot, or the free one where it would go. There is always a free one. */
  #slotOf(hi: number, lo: number): number {
    let slot = lo & this.#mask;
    while (
      !this.#isFree(slot) &&
      (this.#words[slot * ROW_WORDS] !== hi || this.#words[slot * ROW_WORDS + 1] !== lo)
    ) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #isFree(slot: number): boolean {
    return this.#numbers[slot * ROW_NUMBERS + 1] === 0;
  }
}
