/**
 * Rows with states of any length: an array for each key. For algorithms that keep every entry, and
 * for overrides, answers and holds.
 *
 * A key takes about 100 bytes more than in `FixedRows`.
 */
import type { State } from "../limit/algorithm.ts";
import { hashText, type KeyHash } from "../ring/key-hash.ts";
import { RowWriter, type Segment, unpackRows } from "./segment.ts";

/** Bytes that a row takes besides the numbers of its state, about. */
const ROW_BYTES = 100;
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT;

interface Row {
  key: KeyHash;
  state: State;
}

export class VariableRows implements Segment {
  readonly #rows = new Map<string, Row>();
  #numbers = 0;
  #lastExpiryMs = 0;
  /** Where the next sweep begins. A sweep also meets rows that are set after it began. */
  #hand = this.#rows.entries();

  get size(): number {
    return this.#rows.size;
  }

  get bytes(): number {
    return this.#rows.size * ROW_BYTES + this.#numbers * NUMBER_BYTES;
  }

  get lastExpiryMs(): number {
    return this.#lastExpiryMs;
  }

  get(key: KeyHash): State | undefined {
    return this.#rows.get(hashText(key))?.state;
  }

  set(key: KeyHash, state: State): void {
    const id = hashText(key);
    this.#numbers += state.length - (this.#rows.get(id)?.state.length ?? 0);
    this.#rows.set(id, { key, state });
    this.#lastExpiryMs = Math.max(this.#lastExpiryMs, state[0]);
  }

  delete(key: KeyHash): void {
    const id = hashText(key);
    this.#numbers -= this.#rows.get(id)?.state.length ?? 0;
    this.#rows.delete(id);
  }

  sweep(nowMs: number, steps: number): boolean {
    if (steps >= this.#rows.size) this.#hand = this.#rows.entries();
    for (let step = 0; step < steps; step++) {
      const { done, value } = this.#hand.next();
      if (done) {
        this.#hand = this.#rows.entries();
        return true;
      }
      const [, { key, state }] = value;
      if (state[0] <= nowMs) this.delete(key);
    }
    return false;
  }

  /** Visits the rows in the order they were set, whatever `near` is. */
  visit(each: (key: KeyHash, state: State) => unknown): void {
    for (const { key, state } of this.#rows.values()) if (each(key, state) === true) return;
  }

  toRows(): Uint8Array<ArrayBuffer> {
    const rows = new RowWriter(2 * this.size + this.#numbers);
    for (const { key, state } of this.#rows.values()) rows.add(0, key, state);
    return rows.take();
  }

  addRows(bytes: Uint8Array<ArrayBuffer>): void {
    unpackRows(0, bytes, (key, state) => state && this.set(key, state));
  }
}
