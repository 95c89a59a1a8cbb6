/**
 * The counters of one policy, in segments of bounded size.
 *
 * Grows and shrinks by one segment at a time (linear hashing: Litwin, 1980). So no call waits
 * longer as the table grows, and no two segments split at once. A key that nobody asks about leaves
 * its expired row behind; sweeps remove such rows, a few at a time.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Segment } from "./segment.ts";

/**
 * Bytes that a segment's rows take on average. The largest segments have twice that, and as much
 * again in free slots: under 0.5 MB. So to split one, or to write it to storage, takes a
 * millisecond or so.
 */
const SEGMENT_BYTES = 4_096 * 24;
/**
 * Share of `SEGMENT_BYTES` below which two segments become one: far below 1, or they would soon
 * split again.
 */
const MIN_FILL = 0.25;

export class CounterTable {
  readonly #newSegment: (rows: number) => Segment;
  readonly #segments: Segment[];
  #size = 0;
  #bytes = 0;
  /** The segment that is swept next. */
  #hand = 0;

  /**
   * @param newSegment makes an empty segment, with room for some rows
   * @param segments those of a table that was made alike, in their order; at least one
   */
  constructor(newSegment: (rows: number) => Segment, segments: Segment[] = [newSegment(0)]) {
    this.#newSegment = newSegment;
    this.#segments = segments;
    for (const { size, bytes } of this.#segments) {
      this.#size += size;
      this.#bytes += bytes;
    }
  }

  /** Rows, expired ones included. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that the rows take; their buffers take up to 1.67 times that. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A segment that was split or joined is a new object; one that grew is the same. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** No counter expires later than this; ms since the epoch, 0 if there never was one. */
  get lastExpiryMs(): number {
    return Math.max(...this.#segments.map(({ lastExpiryMs }) => lastExpiryMs));
  }

  get(key: KeyHash): State | undefined {
    return this.#segmentOf(key).get(key);
  }

  /** @param state as many numbers as the table was made for */
  set(key: KeyHash, state: State): void {
    const segment = this.#segmentOf(key);
    const { size, bytes } = segment;
    segment.set(key, state);
    this.#resum(segment, size, bytes);
    if (this.#bytes > this.#segments.length * SEGMENT_BYTES) this.#split();
  }

  /** Removes a key's counter; does nothing if there is none. */
  delete(key: KeyHash): void {
    const segment = this.#segmentOf(key);
    const { size, bytes } = segment;
    segment.delete(key);
    this.#resum(segment, size, bytes);
    this.#join();
  }

  /** Removes all that expired at or before `nowMs`. Takes time in proportion to the table. */
  sweep(nowMs: number): void {
    for (const segment of this.#segments) {
      const { size, bytes } = segment;
      segment.sweep(nowMs, Number.POSITIVE_INFINITY);
      this.#resum(segment, size, bytes);
    }
    for (let at = this.#segments.length; at > 1; at--) this.#join();
  }

  /** Goes on where it stopped, and removes what expired. Looks at no more than `steps` rows. */
  sweepSome(nowMs: number, steps: number): void {
    if (this.#hand >= this.#segments.length) this.#hand = 0;
    const segment = this.#segments[this.#hand] as Segment;
    const { size, bytes } = segment;
    if (segment.sweep(nowMs, steps)) this.#hand++;
    this.#resum(segment, size, bytes);
    this.#join();
  }

  /** Calls `visit` with rows around a key's place, until it returns true. */
  some(near: KeyHash, visit: (key: KeyHash, state: State) => boolean): void {
    this.#segmentOf(near).some(visit, near);
  }

  #segmentOf(key: KeyHash): Segment {
    return this.#segments[segmentOf(key, this.#segments.length)] as Segment;
  }

  /** Corrects the sums after a segment of that size has changed. */
  #resum(segment: Segment, size: number, bytes: number): void {
    this.#size += segment.size - size;
    this.#bytes += segment.bytes - bytes;
  }

  /** Splits the next segment in order into two. */
  #split(): void {
    const count = this.#segments.length;
    const at = indexOf(count, count);
    const whole = this.#segments[at] as Segment;
    this.#segments[at] = this.#newSegment(whole.size / 2);
    this.#segments.push(this.#newSegment(whole.size / 2));
    this.#move(whole);
  }

  /** Puts the last segment's rows back where they came from, if the table is mostly empty. */
  #join(): void {
    const count = this.#segments.length - 1;
    if (count === 0 || this.#bytes > count * SEGMENT_BYTES * MIN_FILL) return;
    const at = indexOf(count, count);
    const last = this.#segments.pop() as Segment;
    const other = this.#segments[at] as Segment;
    this.#segments[at] = this.#newSegment(other.size + last.size);
    this.#move(other);
    this.#move(last);
  }

  #move(from: Segment): void {
    from.some((key, state) => {
      this.#segmentOf(key).set(key, state);
      return false;
    });
  }
}

/** Index of the segment that a key belongs to in a table of `count`. */
export function segmentOf({ hi, lo }: KeyHash, count: number): number {
  return indexOf(hi + lo, count);
}

function indexOf(hash: number, count: number): number {
  // One less than the power of two that is not below `count`.
  const mask = (1 << (32 - Math.clz32(count - 1))) - 1;
  const at = hash & mask;
  return at < count ? at : at & (mask >>> 1);
}
