/**
 * What is on disk of one table: its segments as each was last written, and the rows that changed
 * since.
 */

import { type CounterTable, segmentOf } from "../../counters/counter-table.ts";
import { FixedRows } from "../../counters/fixed-rows.ts";
import { decodeRows, encodeRows, type Segment } from "../../counters/segment.ts";
import { newTable, readSegment } from "../../counters/table-name.ts";
import type { State } from "../../limit/algorithm.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { checksum } from "./checksum.ts";
import {
  changesKey,
  numbersOf,
  type Part,
  partsOf,
  segmentKey,
  type TableParts,
} from "./manifest.ts";
import { fromPieces, type Piece, pieceKeys, toPieces } from "./pieces.ts";

/** A part, and where it is on disk. */
export interface Stored extends Part {
  /** Storage keys, one for each piece. */
  keys: readonly string[];
}

/** A segment, and what is on disk of it. */
export interface SegmentCopy extends Stored {
  /** Its storage key without the checkpoint's number. */
  place: string;
  segment: Segment;
  /** Number of the last checkpoint in which it was not stale; 0 if it is new. */
  freshAt: number;
  /** Whether rows of it have changed since it was written. */
  isStale: boolean;
}

/** The state of a key in a set of keys. */
const PRESENT: State = [1];

export class TableCopy {
  readonly #name: string;
  #segments: SegmentCopy[] = [];
  #changes: Stored[] = [];
  /** Keys that changed since the last checkpoint: a set that takes 16 bytes a key. */
  #changed = new FixedRows(1);
  /** The same keys with their segments, between `compare` and `gatherChanges`. */
  #gathered: { key: KeyHash; copy: SegmentCopy }[] = [];
  /** Keys that were gathered and may not be on disk. If writing fails, they are written again. */
  #written = new FixedRows(1);

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

  get changes(): readonly Stored[] {
    return this.#changes;
  }

  /** What a manifest says of it. */
  get parts(): TableParts {
    return { segments: numbersOf(this.#segments), changes: numbersOf(this.#changes) };
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
    this.#segments = partsOf(parts.segments).map((part, index) => {
      const place = segmentKey(this.#name, index);
      const key = `${place}/${part.number}`;
      const segment = readSegment(this.#name, fromPieces(entries, key, part.bytes, part.sum));
      const keys = pieceKeys(key, part.bytes);
      return { ...part, keys, place, segment, freshAt: part.number, isStale: false };
    });
    this.#changes = partsOf(parts.changes).map((part) => {
      const place = changesKey(this.#name, part.number);
      decodeRows(fromPieces(entries, place, part.bytes, part.sum), (key, state) => {
        const copy = this.#copyOf(key);
        // This segment was written later, so it has this change or a newer one.
        if (copy.number >= part.number) return;
        copy.isStale = true;
        if (state) copy.segment.set(key, state);
        else copy.segment.delete(key);
      });
      return { ...part, keys: pieceKeys(place, part.bytes) };
    });
    const segments = this.#segments.map(({ segment }) => segment);
    return newTable(this.#name, segments);
  }

  /** Finds out which segments are stale. */
  compare({ segments }: CounterTable): void {
    this.#segments = segments.map((segment, index) => {
      const copy = this.#segments[index];
      // A segment that was split or joined is another object.
      if (copy?.segment === segment) return copy;
      const place = segmentKey(this.#name, index);
      return { place, segment, number: 0, freshAt: 0, bytes: 0, sum: 0, keys: [], isStale: true };
    });
    this.#gathered = [];
    this.#changed.some((key) => {
      const copy = this.#copyOf(key);
      copy.isStale = true;
      this.#gathered.push({ key, copy });
      return false;
    });
  }

  /**
   * Returns the changed rows of segments that are still stale. Forgets changes that every segment
   * has by now.
   */
  gatherChanges(number: number): Piece[] {
    const changed = this.#gathered.filter(({ copy }) => copy.isStale);
    this.#gathered = [];
    const rows = changed.map(({ key, copy }) => ({ key, state: copy.segment.get(key) }));
    const taken = this.#changed;
    // As many keys are likely again: to grow row by row would take as long as the rest.
    this.#changed = new FixedRows(1, taken.size);
    if (this.#written.size > 0) moveKeys(this.#written, taken);
    this.#written = taken;
    const oldest = Math.min(...this.#segments.map((copy) => copy.freshAt));
    this.#changes = this.#changes.filter((part) => part.number > oldest);
    if (rows.length === 0) return [];
    const bytes = encodeRows(rows);
    const key = changesKey(this.#name, number);
    const keys = pieceKeys(key, bytes.length);
    this.#changes.push({ number, bytes: bytes.length, sum: checksum(bytes), keys });
    return toPieces(key, bytes);
  }

  /** To be called when everything that was gathered is on disk. */
  confirm(): void {
    this.#written = new FixedRows(1);
  }

  /**
   * To be called when a checkpoint could not be written: the next one writes its changes, too.
   *
   * @param confirmed number of the last one on disk
   */
  takeBack(confirmed: number): void {
    this.#changes = this.#changes.filter((part) => part.number <= confirmed);
    // Nobody knows what the disk has of a segment that was to be written whole.
    for (const copy of this.#segments) {
      if (copy.number <= confirmed) continue;
      copy.freshAt = 0;
      copy.isStale = true;
    }
    moveKeys(this.#written, this.#changed);
    this.#written = new FixedRows(1);
  }

  #copyOf(key: KeyHash): SegmentCopy {
    return this.#segments[segmentOf(key, this.#segments.length)] as SegmentCopy;
  }
}

function moveKeys(from: FixedRows, to: FixedRows): void {
  from.some((key) => {
    to.set(key, PRESENT);
    return false;
  });
}
