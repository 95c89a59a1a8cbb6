/**
 * A policy's counters by the numbers of their keys: no hashing, and nothing to sweep or evict. So to
 * those who look after tables it is always empty.
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
  /** Where the states of clients stand, and those of other keys. */
  readonly #places = [new Int32Array(1_024), new Int32Array()];
  /** Free places by the logarithm of their size. */
  readonly #free: number[][] = Array.from({ length: 32 }, () => []);

  constructor() {
    super("counter", () => new FewRows(1));
  }

  override get({ hi, lo }: KeyHash): State | undefined {
    const place = this.#places[hi]?.[lo] ?? 0;
    if (place === 0) return undefined;
    const end = place + 1 + (this.#numbers[place] as number);
    return Array.from(this.#numbers.subarray(place + 1, end)) as unknown as State;
  }

  override set(key: KeyHash, state: State): void {
    this.delete(key);
    const place = this.#newPlace(sizeOf(state.length));
    this.#numbers[place] = state.length;
    this.#numbers.set(state, place + 1);
    const { hi, lo } = key;
    let places = this.#places[hi] as Int32Array<ArrayBuffer>;
    if (lo >= places.length) {
      places = new Int32Array(Math.max(lo + 1, places.length * GROWTH));
      places.set(this.#places[hi] as Int32Array);
      this.#places[hi] = places;
    }
    places[lo] = place;
  }

  override delete({ hi, lo }: KeyHash): void {
    const places = this.#places[hi] as Int32Array;
    const place = places[lo] ?? 0;
    if (place === 0) return;
    this.#free[sizeOf(this.#numbers[place] as number)]?.push(place);
    places[lo] = 0;
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

/** States of one length, in one flat array. */
class NumberedTable extends CounterTable {
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
