/**
 * The counters of one policy in one flat buffer: open addressing, linear probing, no object per
 * key.
 *
 * A row is the 64-bit key hash and the numbers of a state, as many for each key. Expired rows stay
 * until `sweep`, which rebuilds the table and so pauses in proportion to its size.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";

const MIN_SLOTS = 64;
const MAX_LOAD = 0.75;
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT;

export class CounterTable {
  /** Numbers in a row: the hash takes the place of one. */
  readonly #rowNumbers: number;
  #size = 0;
  /** Slots less one; they are a power of two, so `hash & mask` is a slot. */
  #mask = 0;
  /** The rows. A row's first number is free where its second, `expiresAtMs`, is 0. */
  #numbers = new Float64Array();
  /** The same bytes; a row's first two words are the hash, high half first. */
  #words = new Uint32Array();

  /**
   * @param stateNumbers numbers in a state, at least 1
   * @param rows what `toBytes` gave
   */
  constructor(stateNumbers: number, rows = new Uint8Array()) {
    this.#rowNumbers = stateNumbers + 1;
    const numbers = new Float64Array(rows.slice().buffer);
    const words = new Uint32Array(numbers.buffer);
    const count = numbers.length / this.#rowNumbers;
    this.#allocate(count);
    for (let row = 0; row < count; row++) this.#insert(numbers, words, row);
  }

  get size(): number {
    return this.#size;
  }

  get(key: KeyHash): State | undefined {
    const slot = this.#slotOf(key);
    return this.#isFree(slot) ? undefined : this.#stateAt(this.#numbers, slot);
  }

  /** @param state as many numbers as the table was made for */
  set(key: KeyHash, state: State): void {
    let slot = this.#slotOf(key);
    if (this.#isFree(slot)) {
      if (this.#size >= (this.#mask + 1) * MAX_LOAD) {
        this.#keepWhere(() => true);
        slot = this.#slotOf(key);
      }
      this.#size++;
    }
    this.#words[this.#wordOf(slot)] = key.hi;
    this.#words[this.#wordOf(slot) + 1] = key.lo;
    this.#numbers.set(state, slot * this.#rowNumbers + 1);
  }

  /** Removes a key's counter; does nothing if there is none. */
  delete(key: KeyHash): void {
    let hole = this.#slotOf(key);
    if (this.#isFree(hole)) return;
    // Later rows of the same run move up, or a lookup would stop at the hole and miss them.
    for (let slot = this.#next(hole); !this.#isFree(slot); slot = this.#next(slot)) {
      const home = (this.#words[this.#wordOf(slot) + 1] as number) & this.#mask;
      const fromHome = (slot - home) & this.#mask;
      const fromHole = (slot - hole) & this.#mask;
      if (fromHome < fromHole) continue;
      const start = slot * this.#rowNumbers;
      this.#numbers.copyWithin(hole * this.#rowNumbers, start, start + this.#rowNumbers);
      hole = slot;
    }
    this.#numbers[hole * this.#rowNumbers + 1] = 0;
    this.#size--;
  }

  /** Removes what expired at or before `nowMs` and gives back the memory it took. */
  sweep(nowMs: number): void {
    this.#keepWhere((expiresAtMs) => expiresAtMs > nowMs);
  }

  /** The time at which the last counter expires, ms since the epoch; 0 if there is none. */
  lastExpiryMs(): number {
    let last = 0;
    for (let slot = 0; slot <= this.#mask; slot++) last = Math.max(last, this.#expiryAt(slot));
    return last;
  }

  /** The rows one after the other, in no order. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const rows = new Float64Array(this.#size * this.#rowNumbers);
    const bytes = new Uint8Array(rows.buffer);
    // Copied as bytes: a hash read as a number may be a NaN, whose bits need not survive.
    const source = new Uint8Array(this.#numbers.buffer);
    const rowBytes = this.#rowNumbers * NUMBER_BYTES;
    let row = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#isFree(slot)) continue;
      bytes.set(source.subarray(slot * rowBytes, (slot + 1) * rowBytes), row++ * rowBytes);
    }
    return bytes;
  }

  #keepWhere(keep: (expiresAtMs: number) => boolean): void {
    const numbers = this.#numbers;
    const words = this.#words;
    const kept: number[] = [];
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (!this.#isFree(slot) && keep(this.#expiryAt(slot))) kept.push(slot);
    }
    this.#allocate(kept.length + 1);
    for (const slot of kept) this.#insert(numbers, words, slot);
  }

  #allocate(rows: number): void {
    let slots = MIN_SLOTS;
    while (rows > slots * MAX_LOAD) slots *= 2;
    this.#mask = slots - 1;
    this.#size = 0;
    this.#numbers = new Float64Array(slots * this.#rowNumbers);
    this.#words = new Uint32Array(this.#numbers.buffer);
  }

  /** Copies a row from other views of the same layout. */
  #insert(numbers: Float64Array, words: Uint32Array, row: number): void {
    const word = this.#wordOf(row);
    const key = { hi: words[word] as number, lo: words[word + 1] as number };
    this.set(key, this.#stateAt(numbers, row));
  }

  /** The key's slot, or the free one where it would go. There is always a free one. */
  #slotOf({ hi, lo }: KeyHash): number {
    let slot = lo & this.#mask;
    while (!this.#isFree(slot)) {
      const word = this.#wordOf(slot);
      if (this.#words[word] === hi && this.#words[word + 1] === lo) break;
      slot = this.#next(slot);
    }
    return slot;
  }

  #next(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  #wordOf(slot: number): number {
    return slot * this.#rowNumbers * 2;
  }

  #isFree(slot: number): boolean {
    return this.#expiryAt(slot) === 0;
  }

  #expiryAt(slot: number): number {
    return this.#numbers[slot * this.#rowNumbers + 1] as number;
  }

  #stateAt(numbers: Float64Array, row: number): State {
    const start = row * this.#rowNumbers;
    return Array.from(numbers.subarray(start + 1, start + this.#rowNumbers)) as unknown as State;
  }
}
