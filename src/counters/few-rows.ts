/**
 * A few rows of a fixed size in one small array: a table of one row takes a sixth of the memory of
 * `FixedRows`.
 *
 * Each call looks at all rows, so a table keeps no more than `MAX_FEW_ROWS` this way.
 */
import { type State, stateOf } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { RowWriter, type Segment, unpackRows } from "./segment.ts";

/** With more rows, looking at all of them takes longer than hashing into a buffer. */
export const MAX_FEW_ROWS = 8;
const HASH_NUMBERS = 2;

export class FewRows implements Segment {
  /** Numbers in a row: the hash's halves, then the state. */
  readonly #rowNumbers: number;
  /** The rows. Copied to grow, since `push` would reserve room for 16 more numbers. */
  #numbers: number[] = [];
  #lastExpiryMs = 0;

  /** @param stateNumbers numbers in a state, at least 1 */
  constructor(stateNumbers: number) {
    this.#rowNumbers = HASH_NUMBERS + stateNumbers;
  }

  get size(): number {
    return this.#numbers.length / this.#rowNumbers;
  }
  /** Counted as in `FixedRows`, so that a table's bytes do not depend on how it keeps its rows. */
  get bytes(): number {
    return this.size * (this.#rowNumbers - 1) * Float64Array.BYTES_PER_ELEMENT;
  }
  get lastExpiryMs(): number {
    return this.#lastExpiryMs;
  }

  get(key: KeyHash): State | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : this.#stateAt(at);
  }

  set(key: KeyHash, state: State): void {
    const at = this.#find(key);
    if (at < 0) this.#numbers = this.#numbers.concat(key.hi, key.lo, state);
    else for (const [n, number] of state.entries()) this.#numbers[at + HASH_NUMBERS + n] = number;
    this.#lastExpiryMs = Math.max(this.#lastExpiryMs, state[0]);
  }

  delete(key: KeyHash): void {
    const at = this.#find(key);
    if (at >= 0) this.#numbers.splice(at, this.#rowNumbers);
  }

  sweep(nowMs: number): boolean {
    for (let at = this.#numbers.length - this.#rowNumbers; at >= 0; at -= this.#rowNumbers) {
      if ((this.#numbers[at + HASH_NUMBERS] as number) > nowMs) continue;
      this.#numbers.splice(at, this.#rowNumbers);
    }
    return true;
  }

  visit(each: (key: KeyHash, state: State) => unknown): void {
    for (let at = 0; at < this.#numbers.length; at += this.#rowNumbers) {
      const [hi, lo] = this.#numbers.slice(at, at + HASH_NUMBERS) as [number, number];
      if (each({ hi, lo }, this.#stateAt(at)) === true) return;
    }
  }

  toRows(): Uint8Array<ArrayBuffer> {
    const rows = new RowWriter(this.#numbers.length);
    this.visit((key, state) => rows.add(this.#rowNumbers - HASH_NUMBERS, key, state));
    return rows.take();
  }

  addRows(bytes: Uint8Array<ArrayBuffer>): void {
    unpackRows(
      this.#rowNumbers - HASH_NUMBERS,
      bytes,
      (key, state) => state && this.set(key, state),
    );
  }

  #find({ hi, lo }: KeyHash): number {
    const numbers = this.#numbers;
    for (let at = 0; at < numbers.length; at += this.#rowNumbers) {
      if (numbers[at] === hi && numbers[at + 1] === lo) return at;
    }
    return -1;
  }

  #stateAt(at: number): State {
    const start = at + HASH_NUMBERS;
    const expiresAtMs = this.#numbers[start] as number;
    if (this.#rowNumbers === HASH_NUMBERS + 2) {
      return stateOf(expiresAtMs, this.#numbers[start + 1] as number);
    }
    return this.#numbers.slice(start, at + this.#rowNumbers) as unknown as State;
  }
}
