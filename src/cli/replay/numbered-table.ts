/**
 * A policy's counters by the numbers of their keys: no hashing, and nothing to sweep or evict. So to
 * those who look after tables it is always empty.
 */
import { CounterTable } from "../../counters/counter-table.ts";
import { FewRows } from "../../counters/few-rows.ts";
import { type State, stateOf } from "../../limit/algorithm.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { GROWTH, NumberedRows } from "./numbered-rows.ts";

export function keyOfNumber(number: number): KeyHash {
  return { hi: 0, lo: number };
}

/** @param stateNumbers numbers in a state; 0 if that varies */
export function newNumberedTable(stateNumbers: number): CounterTable {
  return stateNumbers === 0 ? new NumberedStates() : new NumberedTable(stateNumbers);
}

/**
 * States of any length, each behind its length in one array. What a state needs is rounded up to a
 * power of two, so that a place fits another state later.
 */
class NumberedStates extends CounterTable {
  #numbers = new Float64Array(1_024);
  /** Nothing stands at 0, which means none. */
  #end = 1;
  /** Where each key's state stands. */
  readonly #places = new NumberedRows(1);
  /** Free places by the logarithm of their size. */
  readonly #free: number[][] = Array.from({ length: 32 }, () => []);

  constructor() {
    super("counter", () => new FewRows(1));
  }

  override get({ lo }: KeyHash): State | undefined {
    const place = this.#places.numbers[lo] ?? 0;
    if (place === 0) return undefined;
    const end = place + 1 + (this.#numbers[place] as number);
    return Array.from(this.#numbers.subarray(place + 1, end)) as unknown as State;
  }

  override set(key: KeyHash, state: State): void {
    this.delete(key);
    const place = this.#newPlace(sizeOf(state.length));
    this.#numbers[place] = state.length;
    this.#numbers.set(state, place + 1);
    const at = this.#places.rowOf(key.lo);
    this.#places.numbers[at] = place;
  }

  override delete({ lo }: KeyHash): void {
    const { numbers } = this.#places;
    const place = numbers[lo] ?? 0;
    if (place === 0) return;
    this.#free[sizeOf(this.#numbers[place] as number)]?.push(place);
    numbers[lo] = 0;
  }

  /** @param size the logarithm of the numbers that it takes */
  #newPlace(size: number): number {
    const free = this.#free[size]?.pop();
    if (free !== undefined) return free;
    const place = this.#end;
    this.#end += 2 ** size;
    if (this.#end > this.#numbers.length) {
      const wider = new Float64Array(this.#numbers.length * GROWTH);
      wider.set(this.#numbers);
      this.#numbers = wider;
    }
    return place;
  }
}

function sizeOf(stateNumbers: number): number {
  return 32 - Math.clz32(stateNumbers);
}

/** States of one length. */
class NumberedTable extends CounterTable {
  readonly #stateNumbers: number;
  /** A row that begins with 0 is free. */
  readonly #rows: NumberedRows<Float64Array>;

  /** @param stateNumbers numbers in a state, at least 2 */
  constructor(stateNumbers: number) {
    super("counter", () => new FewRows(stateNumbers));
    this.#stateNumbers = stateNumbers;
    this.#rows = new NumberedRows(stateNumbers, Float64Array);
  }

  override get({ lo }: KeyHash): State | undefined {
    const { numbers } = this.#rows;
    const at = lo * this.#stateNumbers;
    if (at >= numbers.length || numbers[at] === 0) return undefined;
    if (this.#stateNumbers === 2) return stateOf(numbers[at] as number, numbers[at + 1] as number);
    return Array.from(numbers.subarray(at, at + this.#stateNumbers)) as unknown as State;
  }

  override set({ lo }: KeyHash, state: State): void {
    const at = this.#rows.rowOf(lo);
    const { numbers } = this.#rows;
    for (let n = 0; n < state.length; n++) numbers[at + n] = state[n] as number;
  }

  override delete({ lo }: KeyHash): void {
    const at = this.#rows.rowOf(lo);
    this.#rows.numbers[at] = 0;
  }
}
