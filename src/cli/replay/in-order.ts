/**
 * Sorts the requests of a log by time.
 *
 * Servers write a line when the request has ended, so a line may come seconds after later ones.
 * Requests are held until the log is `HELD_MS` ahead of them.
 */
import type { LogRecord } from "./record.ts";

/** Few requests take longer: Apache ends them after as long by default. */
const HELD_MS = 60_000;
const MAX_HELD = 50_000;
/** Records that have been taken are let go in steps: one by one would move all the others. */
const COMPACT_AT = 1_024;

export class InOrder {
  /** Lines that came too late to be sorted in. */
  late = 0;
  readonly #take: (record: LogRecord) => void;
  /** Sorted by time. */
  #held: LogRecord[] = [];
  /** The first that has not been taken. */
  #first = 0;
  #takenMs = Number.NEGATIVE_INFINITY;

  /** @param take called with each request, at times that never go back */
  constructor(take: (record: LogRecord) => void) {
    this.#take = take;
  }

  add(record: LogRecord): void {
    if (record.atMs < this.#takenMs) {
      this.late++;
      record.atMs = this.#takenMs;
      this.#take(record);
      return;
    }
    const held = this.#held;
    const last = held.at(-1);
    if (last && last.atMs > record.atMs) held.splice(this.#placeOf(record), 0, record);
    else held.push(record);
    const dueMs = (held[held.length - 1] as LogRecord).atMs - HELD_MS;
    while (this.#heldCount > MAX_HELD || (this.#held[this.#first] as LogRecord).atMs < dueMs) {
      this.#takeFirst();
    }
  }

  /** Takes what is still held. */
  end(): void {
    while (this.#heldCount > 0) this.#takeFirst();
  }

  /** Returns the index of the first that is held and comes after the record. */
  #placeOf({ atMs }: LogRecord): number {
    let low = this.#first;
    let high = this.#held.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#held[middle] as LogRecord).atMs > atMs) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  get #heldCount(): number {
    return this.#held.length - this.#first;
  }

  #takeFirst(): void {
    const record = this.#held[this.#first++] as LogRecord;
    this.#takenMs = record.atMs;
    this.#take(record);
    if (this.#first < COMPACT_AT || this.#first < this.#heldCount) return;
    this.#held = this.#held.slice(this.#first);
    this.#first = 0;
  }
}
