/**
 * Part of a counter table: rows that are kept, swept and written to disk on their own. So no step
 * takes longer as the table grows.
 */
import { type State, stateOf } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** Numbers before an encoded state: the hash's halves, and how many numbers follow. */
const ROW_HEAD_NUMBERS = 3;

export interface Segment {
  /** Rows, expired ones included. */
  readonly size: number;
  /** Bytes that the rows take. */
  readonly bytes: number;
  /** No row expires later than this; ms since the epoch, 0 if it never had a row. */
  readonly lastExpiryMs: number;

  get(key: KeyHash): State | undefined;
  set(key: KeyHash, state: State): void;
  delete(key: KeyHash): void;

  /**
   * Goes on from where the last sweep stopped, and removes rows that expired at or before `nowMs`.
   *
   * @param steps the most rows, or free places for rows, to look at; infinite to sweep all
   * @returns whether it reached the segment's end
   */
  sweep(nowMs: number, steps: number): boolean;

  /** Calls `each` with every row, in no order but from around `near` on, until it returns true. */
  visit(each: (key: KeyHash, state: State) => unknown, near?: KeyHash): void;

  /** Returns all rows as a {@link RowWriter} writes them. */
  toRows(): Uint8Array<ArrayBuffer>;
  /** Adds the rows that `toRows` returned. The segment is empty and was made for that many rows. */
  addRows(bytes: Uint8Array<ArrayBuffer>): void;
}

/**
 * Writes rows as they are on disk: the hash's halves as words, then the state's numbers. A state
 * whose length may vary has its length before it. A deleted row has zeros, or the length 0.
 */
export class RowWriter {
  /** Rows since the last call of `take`. */
  size = 0;
  #numbers = new Float64Array();
  #words = new Uint32Array();
  #begin = 0;
  #end = 0;

  /** @param numbers how many to make room for */
  constructor(numbers: number) {
    this.#allocate(numbers);
  }

  /**
   * @param stateNumbers numbers in each state; 0 if that varies
   * @param state undefined if the row was deleted
   */
  add(stateNumbers: number, { hi, lo }: KeyHash, state: State | undefined): void {
    const length = state?.length ?? 0;
    let at = this.#end;
    const end = at + (stateNumbers ? 1 + stateNumbers : 2 + length);
    if (end > this.#numbers.length) this.#allocate(2 * end);
    this.#words[2 * at] = hi;
    this.#words[2 * at + 1] = lo;
    at++;
    if (!stateNumbers) this.#numbers[at++] = length;
    for (let nth = 0; nth < length; nth++) this.#numbers[at + nth] = state?.[nth] as number;
    this.#end = end;
    this.size++;
  }

  /** Returns the rows since the last call. */
  take(): Uint8Array<ArrayBuffer> {
    const begin = this.#begin * Float64Array.BYTES_PER_ELEMENT;
    const end = this.#end * Float64Array.BYTES_PER_ELEMENT;
    this.#begin = this.#end;
    this.size = 0;
    return new Uint8Array(this.#numbers.buffer, begin, end - begin);
  }

  /** Makes room, and keeps what is there. */
  #allocate(numbers: number): void {
    const before = this.#numbers;
    this.#numbers = new Float64Array(numbers);
    this.#numbers.set(before);
    this.#words = new Uint32Array(this.#numbers.buffer);
  }
}

/**
 * Calls `visit` with each row that a {@link RowWriter} wrote; with no state if the row was deleted.
 *
 * @param bytes aligned to 8 bytes in their buffer
 */
export function unpackRows(
  stateNumbers: number,
  bytes: Uint8Array<ArrayBuffer>,
  visit: (key: KeyHash, state: State | undefined) => void,
): void {
  const { buffer, byteOffset, length } = bytes;
  const numbers = new Float64Array(buffer, byteOffset, length / Float64Array.BYTES_PER_ELEMENT);
  const words = new Uint32Array(buffer, byteOffset, numbers.length * 2);
  for (let at = 0; at < numbers.length; ) {
    const key = { hi: words[2 * at] as number, lo: words[2 * at + 1] as number };
    const count = stateNumbers || (numbers[at + 1] as number);
    at += stateNumbers ? 1 : 2;
    const first = count === 0 ? 0 : (numbers[at] as number);
    if (first === 0) visit(key, undefined);
    else if (count === 2) visit(key, stateOf(first, numbers[at + 1] as number));
    else visit(key, stateAt(numbers, at, count));
    at += count;
  }
}

/** Encodes rows one after the other: the hash's halves, how many numbers follow, and these. */
export function encodeRows(
  rows: readonly { key: KeyHash; state: State }[],
): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const { state } of rows) length += ROW_HEAD_NUMBERS + state.length;
  const numbers = new Float64Array(length);
  let at = 0;
  for (const { key, state } of rows) {
    numbers[at++] = key.hi;
    numbers[at++] = key.lo;
    numbers[at++] = state.length;
    for (const number of state) numbers[at++] = number;
  }
  return new Uint8Array(numbers.buffer);
}

/** Calls `visit` with each row that `encodeRows` wrote; with no state if the row had none. */
export function decodeRows(
  bytes: Uint8Array<ArrayBuffer>,
  visit: (key: KeyHash, state: State | undefined) => void,
): void {
  const numbers = new Float64Array(bytes.slice().buffer);
  for (let at = 0; at < numbers.length; ) {
    const key = { hi: numbers[at] as number, lo: numbers[at + 1] as number };
    const count = numbers[at + 2] as number;
    at += ROW_HEAD_NUMBERS;
    visit(key, count > 0 ? stateAt(numbers, at, count) : undefined);
    at += count;
  }
}

/** `Array.from` would take ten times as long for a long state, and reserve a third more memory. */
function stateAt(numbers: Float64Array, start: number, count: number): State {
  const state = new Array<number>(count);
  for (let at = 0; at < count; at++) state[at] = numbers[start + at] as number;
  return state as unknown as State;
}
