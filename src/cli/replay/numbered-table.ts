/**
 * A policy's counters by the numbers of their keys, in one flat array: no hashing, and nothing to
 * sweep or evict. So to those who look after tables it is always empty.
 */
import { CounterTable } from "../../counters/counter-table.ts";
import { FewRows } from "../../counters/few-rows.ts";
import { type State, stateOf } from "../../limit/algorithm.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { FIRST_KEY } from "./demand.ts";
import { GROWTH } from "./numbered-rows.ts";

/** Returns the key of that number, which tells keys of clients from others. */
export function keyOfNumber(number: number): KeyHash {
  return number < FIRST_KEY ? { hi: 0, lo: number } : { hi: 1, lo: number - FIRST_KEY };
}

export class NumberedTable extends CounterTable {
  readonly #stateNumbers: number;
  /** The rows of clients, and those of other keys. A row that begins with 0 is free. */
  readonly #rows = [new Float64Array(1_024), new Float64Array()];

  /** @param stateNumbers numbers in a state, at least 2 */
  constructor(stateNumbers: number) {
    super("counter", () => new FewRows(stateNumbers));
    this.#stateNumbers = stateNumbers;
  }

  override get({ hi, lo }: KeyHash): State | undefined {
    const rows = this.#rows[hi] as Float64Array;
    const at = lo * this.#stateNumbers;
    if (at >= rows.length || rows[at] === 0) return undefined;
    if (this.#stateNumbers === 2) return stateOf(rows[at] as number, rows[at + 1] as number);
    return Array.from(rows.subarray(at, at + this.#stateNumbers)) as unknown as State;
  }

  override set({ hi, lo }: KeyHash, state: State): void {
    const at = lo * this.#stateNumbers;
    let rows = this.#rows[hi] as Float64Array;
    if (at >= rows.length) {
      const wider = new Float64Array(Math.max(at + this.#stateNumbers, rows.length * GROWTH));
      wider.set(rows);
      this.#rows[hi] = wider;
      rows = wider;
    }
    for (let n = 0; n < state.length; n++) rows[at + n] = state[n] as number;
  }

  override delete({ hi, lo }: KeyHash): void {
    const rows = this.#rows[hi] as Float64Array;
    if (lo * this.#stateNumbers < rows.length) rows[lo * this.#stateNumbers] = 0;
  }
}
