/**
 * What is on disk of one table: its segments as they were when each was written last, and the rows
 * that changed since.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { checksum } from "./checksum.ts";
import { type CounterTable, segmentOf } from "./counter-table.ts";
import { FlatSegment } from "./flat-segment.ts";
import { changesKey, type Part, segmentKey, type TableParts } from "./manifest.ts";
import { fromPieces, pieceKeys, toPieces } from "./pieces.ts";
import { CACHE_BYTES, ReadAhead } from "./read-ahead.ts";
import { decodeRows, encodeRows, type Segment } from "./segment.ts";
import { newTable, readSegment } from "./table-kind.ts";

/** A segment, and what is known of its copy; the number is 0 where there is none. */
export interface SegmentCopy extends Part {
  storageKey: string;
  segment: Segment;
  /** Number of the checkpoint that wrote it; lower than its own where nothing has changed since. */
  writtenWith: number;
  /** Whether rows of it changed since. */
  isStale: boolean;
}

/** The state that stands for a key in a set of keys. */
const PRESENT: State = [1];

export class TableCopy {
  readonly #name: string;
  #segments: SegmentCopy[] = [];
  #changes: Part[] = [];
  /** Keys that changed since the last checkpoint: a set, in 16 bytes a key. */
  #changed = new FlatSegment(1);
  /** Those that the last checkpoint wrote, in case it failed. */
  #written = new FlatSegment(1);

  constructor(name: string) {
    this.#name = name;
  }

  /** Counters that changed since the last checkpoint. */
  get changed(): number {
    return this.#changed.size;
  }

  get segments(): readonly SegmentCopy[] {
    return this.#segments;
  }

  /** What a manifest says of it. */
  get parts(): TableParts {
    const segments = this.#segments.map(({ number, bytes, sum }) => ({ number, bytes, sum }));
    return { segments, changes: this.#changes };
  }

  /** The storage keys that it takes. */
  get storageKeys(): string[] {
    return [
      ...this.#segments.flatMap(({ storageKey, bytes }) => pieceKeys(storageKey, bytes)),
      ...this.#changes.flatMap(({ number, bytes }) =>
        pieceKeys(changesKey(this.#name, number), bytes),
      ),
    ];
  }

  /** To be called before many changes, which then find what they need at hand. */
  touch(keys: readonly { key: KeyHash }[]): void {
    if (this.#changed.bytes < CACHE_BYTES) return;
    const ahead = new ReadAhead();
    for (const { key } of keys) this.#changed.touch(key, ahead);
    ahead.read();
  }

  /** To be called when a counter was set or deleted. */
  change(key: KeyHash): void {
    this.#changed.set(key, PRESENT);
  }

  /**
   * Reads the table.
   *
   * @throws {MisuseError} if it is not whole
   */
  read(entries: Map<string, unknown>, parts: TableParts): CounterTable {
    this.#changes = parts.changes;
    this.#segments = parts.segments.map((part, index) => {
      const storageKey = segmentKey(this.#name, index);
      const segment = readSegment(
        this.#name,
        fromPieces(entries, storageKey, part.bytes, part.sum),
      );
      return { ...part, writtenWith: part.number, storageKey, segment, isStale: false };
    });
    for (const { number, bytes, sum } of parts.changes) {
      decodeRows(fromPieces(entries, changesKey(this.#name, number), bytes, sum), (key, state) => {
        const copy = this.#copyOf(key);
        // A segment that was written later has it, or something newer.
        if (copy.number >= number) return;
        copy.isStale = true;
        if (state) copy.segment.set(key, state);
        else copy.segment.delete(key);
      });
    }
    const segments = this.#segments.map(({ segment }) => segment);
    return newTable(this.#name, segments);
  }

  /** Finds out which segments are stale. */
  compare({ segments }: CounterTable): void {
    this.#segments = segments.map((segment, index) => {
      const copy = this.#segments[index];
      // Another object where it was split or joined since.
      if (copy?.segment === segment) return copy;
      const storageKey = segmentKey(this.#name, index);
      return { storageKey, segment, number: 0, writtenWith: 0, bytes: 0, sum: 0, isStale: true };
    });
    this.#changed.some((key) => {
      this.#copyOf(key).isStale = true;
      return false;
    });
  }

  /** Writes the changed rows of the segments that are still stale, and forgets what is too old. */
  writeChanges(values: Map<string, unknown>, number: number): void {
    const changed: { key: KeyHash; segment: Segment }[] = [];
    this.#changed.some((key) => {
      const { isStale, segment } = this.#copyOf(key);
      if (isStale) changed.push({ key, segment });
      return false;
    });
    const ahead = new ReadAhead();
    for (const { key, segment } of changed) segment.touch(key, ahead);
    ahead.read();
    const rows = changed.map(({ key, segment }) => ({ key, state: segment.get(key) }));
    this.#written = this.#changed;
    // As many are to be expected again: to grow row by row would take as long as the rest.
    this.#changed = new FlatSegment(1, this.#written.size);
    const oldest = Math.min(...this.#segments.map((copy) => copy.number));
    this.#changes = this.#changes.filter((part) => part.number > oldest);
    if (rows.length === 0) return;
    const bytes = encodeRows(rows);
    for (const [key, piece] of toPieces(changesKey(this.#name, number), bytes)) {
      values.set(key, piece);
    }
    this.#changes.push({ number, bytes: bytes.length, sum: checksum(bytes) });
  }

  /**
   * To be called when a checkpoint could not be written: the next one writes what it would have.
   *
   * @param number its own
   */
  takeBack(number: number): void {
    this.#changes = this.#changes.filter((part) => part.number !== number);
    // Nobody knows what there is on disk of a segment that was to be written whole.
    for (const copy of this.#segments) {
      if (copy.writtenWith !== number) continue;
      copy.number = 0;
      copy.isStale = true;
    }
    this.#written.some((key) => {
      this.#changed.set(key, PRESENT);
      return false;
    });
  }

  #copyOf(key: KeyHash): SegmentCopy {
    return this.#segments[segmentOf(key, this.#segments.length)] as SegmentCopy;
  }
}
