/**
 * The counters of one policy, in segments of bounded size.
 *
 * Grows and shrinks by one segment at a time (linear hashing: Litwin, 1980). So no call waits
 * longer as the table grows, and no two segments split at once. A key that nobody asks about leaves
 * its expired row behind; sweeps remove such rows, a few at a time.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { MAX_FEW_ROWS } from "./few-rows.ts";
import type { Segment } from "./segment.ts";

/**
 * Bytes that a segment's rows take on average; the largest segments have twice that. A checkpoint
 * copies one or two segments into the log, and larger ones would hold up the checks.
 */
const SEGMENT_BYTES = 20_480;
/**
 * Share of `SEGMENT_BYTES` below which two segments become one: far below 1, or they would soon
 * split again.
 */
const MIN_FILL = 0.25;
/**
 * Rows at which a segment becomes `FewRows` again: fewer than `MAX_FEW_ROWS`, or it would soon
 * change back.
 */
const FEW_ROWS_AGAIN = MAX_FEW_ROWS / 2;

/**
 * What a table's rows are: what a policy counted for a key, until when a key is blocked, which
 * limit an operator gave it, what its checks were answered, what it holds, that its counters were
 * imported in a ring change, or when its counts got lost.
 */
export type TableKind =
  | "counter"
  | "block"
  | "override"
  | "answer"
  | "hold"
  | "imported"
  | "inexact";

export class CounterTable {
  readonly kind: TableKind;
  readonly #newSegment: (rows: number) => Segment;
  readonly #segments: Segment[] = [];
  readonly #copiedAt: number[] = [];
  #size = 0;
  #bytes = 0;
  #lastExpiryMs = 0;
  #hand = 0;

  /** @param newSegment makes an empty segment, with room for some rows */
  constructor(kind: TableKind, newSegment: (rows: number) => Segment) {
    this.kind = kind;
    this.#newSegment = newSegment;
    this.#add(newSegment(0), 0);
  }

  /** Rows, expired ones included. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that the rows take; their buffers take about 1.67 times that, see `FixedRows`. */
  get bytes(): number {
    return this.#bytes;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * For each segment, the sequence of the log entry on disk that has all its rows, or a lower
   * number; 0 if no entry has them.
   */
  get copiedAt(): number[] {
    return this.#copiedAt;
  }

  /** No counter expires later than this; ms since the epoch, 0 if it never had a counter. */
  get lastExpiryMs(): number {
    return this.#lastExpiryMs;
  }

  get(key: KeyHash): State | undefined {
    return this.#segmentOf(key).get(key);
  }

  /** @param state as many numbers as the table was made for */
  set(key: KeyHash, state: State): void {
    const segment = this.#segmentOf(key);
    const { size, bytes } = segment;
    segment.set(key, state);
    if (state[0] > this.#lastExpiryMs) this.#lastExpiryMs = state[0];
    this.#resum(segment, size, bytes);
    if (this.#bytes > this.#segments.length * SEGMENT_BYTES) this.#split();
  }

  delete(key: KeyHash): void {
    this.deleteOnly(key);
    this.#join();
  }

  /** Deletes a row, and does not shrink: for a table that is being read from disk. */
  deleteOnly(key: KeyHash): void {
    const segment = this.#segmentOf(key);
    const { size, bytes } = segment;
    segment.delete(key);
    this.#resum(segment, size, bytes);
  }

  /**
   * Goes on from where the last sweep stopped, and removes rows that expired at or before `nowMs`.
   *
   * @param steps about the most rows to look at; if infinite, begins anew and sweeps all
   * @returns how many steps are left; 0 unless it reached the end of the table
   */
  sweep(nowMs: number, steps: number): number {
    if (steps === Number.POSITIVE_INFINITY) this.#hand = 0;
    let left = steps;
    let joins = 1;
    while (left > 0) {
      const segment = this.#segments[this.#hand];
      if (!segment) {
        this.#hand = 0;
        break;
      }
      const { size, bytes } = segment;
      if (segment.sweep(nowMs, left)) {
        this.#hand++;
        joins++;
        left = Math.max(0, left - size - 1);
      } else left = 0;
      this.#resum(segment, size, bytes);
    }
    for (; joins > 0; joins--) this.#join();
    return left;
  }

  /**
   * Replaces a segment by a copy that was read from disk. The table does not shrink to the size that
   * it had when the copy was written, or rows that are read next would make it grow again.
   *
   * @param count how many segments the table had when the copy was written
   * @param copiedAt see `copiedAt`
   */
  place(segment: Segment, index: number, count: number, copiedAt: number): void {
    while (this.#segments.length < count) this.#split();
    // If the table was split since, the copy's rows go to more than one segment.
    const isWhole = this.#segments.length === count;
    for (let at = index; at < this.#segments.length; at++) {
      if (indexOf(at, count) !== index) continue;
      const { size, bytes } = this.#segments[at] as Segment;
      const placed = isWhole ? segment : this.#newSegment(segment.size / 2);
      this.#segments[at] = placed;
      this.#copiedAt[at] = copiedAt;
      this.#size += placed.size - size;
      this.#bytes += placed.bytes - bytes;
      if (isWhole) break;
    }
    this.#lastExpiryMs = Math.max(this.#lastExpiryMs, segment.lastExpiryMs);
    if (!isWhole) segment.visit((key, state) => this.set(key, state));
  }

  /** Calls `each` with rows around a key's place, until it returns true. */
  visit(near: KeyHash, each: (key: KeyHash, state: State) => unknown): void {
    this.#segmentOf(near).visit(each, near);
  }

  #segmentOf(key: KeyHash): Segment {
    return this.#segments[segmentOf(key, this.#segments.length)] as Segment;
  }

  /** Corrects the sums after a segment has changed, which had `size` and `bytes` before. */
  #resum(segment: Segment, size: number, bytes: number): void {
    if (segment.size === size && segment.bytes === bytes) return;
    this.#size += segment.size - size;
    this.#bytes += segment.bytes - bytes;
    const isMany = segment.size > MAX_FEW_ROWS && size <= MAX_FEW_ROWS;
    const isFew = segment.size <= FEW_ROWS_AGAIN && size > FEW_ROWS_AGAIN;
    if (isMany || isFew) this.#refit(segment);
  }

  /** Rebuilds a segment if another class keeps that many rows. */
  #refit(segment: Segment): void {
    const fitting = this.#newSegment(segment.size);
    if (fitting.constructor === segment.constructor) return;
    this.#segments[this.#segments.indexOf(segment)] = fitting;
    this.#move(segment);
  }

  /** Splits the next segment in order into two. */
  #split(): void {
    const count = this.#segments.length;
    const at = indexOf(count, count);
    const whole = this.#segments[at] as Segment;
    this.#segments[at] = this.#newSegment(whole.size / 2);
    this.#add(this.#newSegment(whole.size / 2), this.#copiedAt[at] as number);
    this.#move(whole);
  }

  #add(segment: Segment, copiedAt: number): void {
    this.#segments.push(segment);
    this.#copiedAt.push(copiedAt);
  }

  /** Puts the last segment's rows back where they came from, if the table is mostly empty. */
  #join(): void {
    const count = this.#segments.length - 1;
    if (count > 0 && this.#bytes <= count * SEGMENT_BYTES * MIN_FILL) this.#joinLast();
  }

  #joinLast(): void {
    const count = this.#segments.length - 1;
    const at = indexOf(count, count);
    const last = this.#segments.pop() as Segment;
    const copiedAt = this.#copiedAt.pop() as number;
    this.#copiedAt[at] = Math.min(this.#copiedAt[at] as number, copiedAt);
    const other = this.#segments[at] as Segment;
    this.#segments[at] = this.#newSegment(other.size + last.size);
    this.#move(other);
    this.#move(last);
  }

  #move(from: Segment): void {
    from.visit((key, state) => this.#segmentOf(key).set(key, state));
  }
}

/** Returns the index of a key's segment in a table of `count` segments. */
export function segmentOf({ hi, lo }: KeyHash, count: number): number {
  return indexOf(hi + lo, count);
}

function indexOf(hash: number, count: number): number {
  // One less than the smallest power of two that is at least `count`.
  const mask = (1 << (32 - Math.clz32(count - 1))) - 1;
  const at = hash & mask;
  return at < count ? at : at & (mask >>> 1);
}
