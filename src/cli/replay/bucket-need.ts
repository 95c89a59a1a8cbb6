/**
 * The limit that each key needs, so that a bucket denies none of its requests. The burst keeps its
 * ratio to the limit.
 *
 * From any request to any later one, as many units may come as the bucket holds, and as drain
 * between the two: limit × (ratio + time / window). So the limit is the most that two requests of
 * the key ask for. Most requests can no longer be the first of such two, and are forgotten. Those
 * left are the key's starts: from each to the next, units come faster than from the one before.
 */
import { NumberedRows } from "./numbered-rows.ts";

/** More are hardly ever left. Then the limit may come out too low. */
const MAX_STARTS = 16;
/** Most keys have no more. A row has them, in one place of memory; the others are in a list. */
const STARTS_IN_ROW = 2;
/** Numbers of a start: when it was, and the units from the first start to it. */
const START_NUMBERS = 2;
/** In front of the starts in a row: the limit, the units since the first start, how many starts. */
const HEAD_NUMBERS = 3;

export class BucketNeed {
  readonly #ratio: number;
  readonly #windowMs: number;
  readonly #keys = new NumberedRows(HEAD_NUMBERS + STARTS_IN_ROW * START_NUMBERS, Float64Array);
  /** The starts that a key has beyond those in its row. */
  readonly #others = new Map<number, number[]>();
  /** The starts of the key at hand, used again and again. */
  readonly #starts = new Float64Array((MAX_STARTS + 1) * START_NUMBERS);
  #count = 0;

  /** @param ratio of the burst to the limit */
  constructor(ratio: number, windowMs: number) {
    this.#ratio = ratio;
    this.#windowMs = windowMs;
  }

  /**
   * Takes a request, no earlier than the last one of its key.
   *
   * @param isCharged whether the request keeps its cost; it needs room for it in any case
   * @returns the limit that all requests so far need; no whole number
   */
  take(key: number, atMs: number, cost: number, isCharged: boolean): number {
    const row = this.#keys.rowOf(key);
    const { numbers } = this.#keys;
    let limit = numbers[row] as number;
    const units = numbers[row + 1] as number;
    this.#load(key, row);
    this.#addStart(atMs, units, limit);
    for (let at = 0; at < this.#count; at++) {
      const most = this.#ratio + (atMs - this.#msOf(at)) / this.#windowMs;
      limit = Math.max(limit, (units + cost - this.#unitsOf(at)) / most);
    }
    numbers[row] = limit;
    numbers[row + 1] = units + (isCharged ? cost : 0) - this.#unitsOf(0);
    this.#store(key, row);
    return limit;
  }

  #addStart(atMs: number, units: number, limit: number): void {
    // At the same time, the first one has all units of the others behind it.
    if (this.#count > 0 && this.#msOf(this.#count - 1) === atMs) return;
    this.#starts[this.#count * START_NUMBERS] = atMs;
    this.#starts[this.#count * START_NUMBERS + 1] = units;
    this.#count++;
    // The last but one is between two starts that units come faster from.
    while (this.#count > 2 && this.#pace(this.#count - 2) <= this.#pace(this.#count - 3)) {
      this.#drop(this.#count - 2);
    }
    // The bucket has drained by the next one.
    while (this.#count > 1 && this.#pace(0) <= limit) this.#drop(0);
    if (this.#count > MAX_STARTS) this.#drop(1);
  }

  /** Units in a window, from one start to the next. */
  #pace(at: number): number {
    const units = this.#unitsOf(at + 1) - this.#unitsOf(at);
    return (units / (this.#msOf(at + 1) - this.#msOf(at))) * this.#windowMs;
  }

  #msOf(at: number): number {
    return this.#starts[at * START_NUMBERS] as number;
  }

  #unitsOf(at: number): number {
    return this.#starts[at * START_NUMBERS + 1] as number;
  }

  #drop(at: number): void {
    this.#starts.copyWithin(at * START_NUMBERS, (at + 1) * START_NUMBERS);
    this.#count--;
  }

  #load(key: number, row: number): void {
    const { numbers } = this.#keys;
    this.#count = numbers[row + 2] as number;
    for (let n = 0; n < STARTS_IN_ROW * START_NUMBERS; n++) {
      this.#starts[n] = numbers[row + HEAD_NUMBERS + n] as number;
    }
    if (this.#count > STARTS_IN_ROW) {
      this.#starts.set(this.#others.get(key) ?? [], STARTS_IN_ROW * START_NUMBERS);
    }
  }

  #store(key: number, row: number): void {
    const { numbers } = this.#keys;
    const passed = this.#unitsOf(0);
    for (let at = 0; at < this.#count; at++) {
      this.#starts[at * START_NUMBERS + 1] = this.#unitsOf(at) - passed;
    }
    const had = numbers[row + 2] as number;
    numbers[row + 2] = this.#count;
    for (let n = 0; n < STARTS_IN_ROW * START_NUMBERS; n++) {
      numbers[row + HEAD_NUMBERS + n] = this.#starts[n] as number;
    }
    if (this.#count > STARTS_IN_ROW) {
      const end = this.#count * START_NUMBERS;
      this.#others.set(key, [...this.#starts.subarray(STARTS_IN_ROW * START_NUMBERS, end)]);
    } else if (had > STARTS_IN_ROW) this.#others.delete(key);
  }
}
