/**
 * Rows in one flat buffer: open addressing, linear probing, no object per key.
 *
 * A row is the 64-bit key hash and a state, which has the same number of numbers for each key. The
 * number of slots is no power of two, so that the buffer can grow by a quarter: to 1.67 slots a
 * row, where doubling would make it 2.67. After deletions it has 2 at most. To grow, the buffer is
 * copied, so a table keeps each one small.
 */
import { type State, stateOf } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Segment } from "./segment.ts";

const MIN_SLOTS = 16;
/** Load above which the buffer grows: above it, lookups of absent keys get long. */
const MAX_LOAD = 0.75;
/** Load after growing or shrinking. */
const NEW_LOAD = 0.6;
/** Load below which the buffer shrinks. Each deletion costs as many copies as an insertion. */
const MIN_LOAD = 0.5;
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT;
/** 2³² ÷ the golden ratio: spreads hashes that are not uniform, such as a test's. */
const GOLDEN = 0x9e3779b9;

export class FixedRows implements Segment {
  /** Numbers in a row: the hash takes the place of one, then comes the state. */
  readonly #rowNumbers: number;
  #size = 0;
  #slots = 0;
  #lastExpiryMs = 0;
  /** Where the next sweep begins. */
  #hand = 0;
  /** The rows. A slot is free if its second number, the state's `expiresAtMs`, is 0. */
  #numbers = new Float64Array();
  /** The same bytes; a row's first two words are the hash, high half first. */
  #words = new Uint32Array();

  /**
   * @param stateNumbers numbers in a state, at least 1
   * @param rows how many to make room for
   */
  constructor(stateNumbers: number, rows = 0) {
    this.#rowNumbers = stateNumbers + 1;
    this.#allocate(rows);
  }

  get size(): number {
    return this.#size;
  }
  get bytes(): number {
    return this.#size * this.#rowNumbers * NUMBER_BYTES;
  }
  /** Bytes that the buffer takes, free slots included. */
  get bufferBytes(): number {
    return this.#numbers.byteLength;
  }
  get lastExpiryMs(): number {
    return this.#lastExpiryMs;
  }

  get(key: KeyHash): State | undefined {
    const slot = this.#slotOf(key);
    return this.#isFree(slot) ? undefined : this.#stateAt(slot);
  }

  set(key: KeyHash, state: State): void {
    let slot = this.#slotOf(key);
    if (this.#isFree(slot)) {
      if (this.#size >= this.#slots * MAX_LOAD) {
        this.#resize();
        slot = this.#slotOf(key);
      }
      this.#size++;
    }
    const word = slot * this.#rowNumbers * 2;
    this.#words[word] = key.hi;
    this.#words[word + 1] = key.lo;
    const start = slot * this.#rowNumbers + 1;
    for (let at = 0; at < state.length; at++) this.#numbers[start + at] = state[at] as number;
    if (state[0] > this.#lastExpiryMs) this.#lastExpiryMs = state[0];
  }

  delete(key: KeyHash): void {
    const slot = this.#slotOf(key);
    if (this.#isFree(slot)) return;
    this.#empty(slot);
    this.#shrink();
  }

  sweep(nowMs: number, steps: number): boolean {
    let passed = 0;
    let isPastEnd = false;
    for (let step = 0; step < steps && passed < this.#slots; step++) {
      if (!this.#isFree(this.#hand) && this.#expiryAt(this.#hand) <= nowMs) {
        // Another row may have moved here, so the hand stays.
        this.#empty(this.#hand);
        continue;
      }
      passed++;
      this.#hand = this.#next(this.#hand);
      if (this.#hand === 0) isPastEnd = true;
    }
    this.#shrink();
    return isPastEnd;
  }

  visit(each: (key: KeyHash, state: State) => unknown, near?: KeyHash): void {
    let slot = near ? this.#home(near.lo) : 0;
    for (let passed = 0; passed < this.#slots; passed++, slot = this.#next(slot)) {
      if (this.#isFree(slot)) continue;
      const word = slot * this.#rowNumbers * 2;
      const key = { hi: this.#words[word] as number, lo: this.#words[word + 1] as number };
      if (each(key, this.#stateAt(slot)) === true) return;
    }
  }

  toRows(): Uint8Array<ArrayBuffer> {
    const rowWords = this.#rowNumbers * 2;
    const words = new Uint32Array(this.#size * rowWords);
    let to = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#isFree(slot)) continue;
      const from = slot * rowWords;
      for (let word = 0; word < rowWords; word++) words[to++] = this.#words[from + word] as number;
    }
    return new Uint8Array(words.buffer);
  }

  addRows({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): void {
    const words = new Uint32Array(buffer, byteOffset, length / Uint32Array.BYTES_PER_ELEMENT);
    const rowWords = this.#rowNumbers * 2;
    // Faster than `set`, which makes a key and a state for each row.
    for (let from = 0; from < words.length; from += rowWords) {
      const slot = this.#copyRow(words, from);
      this.#size++;
      this.#lastExpiryMs = Math.max(this.#lastExpiryMs, this.#expiryAt(slot));
    }
  }

  /** Frees a slot. Later rows of its run move up, or a lookup would stop here and miss them. */
  #empty(freed: number): void {
    let hole = freed;
    for (let slot = this.#next(hole); !this.#isFree(slot); slot = this.#next(slot)) {
      const home = this.#home(this.#words[slot * this.#rowNumbers * 2 + 1] as number);
      if (this.#distance(home, slot) < this.#distance(hole, slot)) continue;
      const start = slot * this.#rowNumbers;
      this.#numbers.copyWithin(hole * this.#rowNumbers, start, start + this.#rowNumbers);
      hole = slot;
    }
    this.#numbers[hole * this.#rowNumbers + 1] = 0;
    this.#size--;
  }

  #shrink(): void {
    if (this.#slots > MIN_SLOTS && this.#size < this.#slots * MIN_LOAD) this.#resize();
  }

  #resize(): void {
    const words = this.#words;
    const numbers = this.#numbers;
    this.#allocate(this.#size);
    for (let start = 0; start < numbers.length; start += this.#rowNumbers) {
      if (numbers[start + 1] !== 0) this.#copyRow(words, start * 2);
    }
  }

  /** Copies a row of another buffer to where its key goes, and returns the slot. */
  #copyRow(words: Uint32Array, from: number): number {
    const rowWords = this.#rowNumbers * 2;
    let slot = this.#home(words[from + 1] as number);
    while (!this.#isFree(slot)) slot = this.#next(slot);
    const to = slot * rowWords;
    // Copied as words: a hash read as a number may be a NaN, whose bits need not survive.
    for (let at = 0; at < rowWords; at++) this.#words[to + at] = words[from + at] as number;
    return slot;
  }

  #allocate(rows: number): void {
    this.#slots = Math.max(MIN_SLOTS, Math.ceil((rows + 1) / NEW_LOAD));
    this.#hand = 0;
    this.#numbers = new Float64Array(this.#slots * this.#rowNumbers);
    this.#words = new Uint32Array(this.#numbers.buffer);
  }

  /** The key's slot, or the free one where it would go. There is always a free one. */
  #slotOf({ hi, lo }: KeyHash): number {
    let slot = this.#home(lo);
    while (!this.#isFree(slot)) {
      const word = slot * this.#rowNumbers * 2;
      if (this.#words[word] === hi && this.#words[word + 1] === lo) break;
      slot = this.#next(slot);
    }
    return slot;
  }

  #home(lo: number): number {
    return (((Math.imul(lo, GOLDEN) >>> 0) / 2 ** 32) * this.#slots) | 0;
  }

  #next(slot: number): number {
    return slot + 1 === this.#slots ? 0 : slot + 1;
  }

  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + this.#slots;
  }

  #isFree(slot: number): boolean {
    return this.#expiryAt(slot) === 0;
  }

  #expiryAt(slot: number): number {
    return this.#numbers[slot * this.#rowNumbers + 1] as number;
  }

  #stateAt(slot: number): State {
    const start = slot * this.#rowNumbers;
    const expiresAtMs = this.#expiryAt(slot);
    // Written out: an array that grows gets room for 16 more numbers each time.
    if (this.#rowNumbers === 2) return [expiresAtMs];
    const second = this.#numbers[start + 2] as number;
    if (this.#rowNumbers === 3) return stateOf(expiresAtMs, second);
    return [expiresAtMs, second, ...this.#numbers.subarray(start + 3, start + this.#rowNumbers)];
  }
}
