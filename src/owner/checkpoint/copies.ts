/**
 * Copies segments forward in the log, the one whose copy is oldest first. Then all older log
 * entries can be deleted, since their rows are in later ones.
 */
import type { Segment } from "../../counters/segment.ts";
import type { Tables } from "./changes.ts";
import { bytesOf, COPIED, type Section } from "./format.ts";

/** Bytes that are copied for each byte of changes. So the log takes about twice the tables. */
const COPY_SHARE = 1.5;
/** About the bytes copied at once. An entry with copies is not put again, which costs rows. */
const COPY_BYTES = 20_000;
/** The least sequence of a log entry. 0 stands for no entry: the segment has no copy. */
const FIRST = 1;
/** How often segments are looked for while all are copied once. A look visits every segment. */
const LOOKS_A_ROUND = 16;
/**
 * About the most segments that one call visits: it holds up the checks meanwhile. An owner may have
 * 76,000 tables of one segment each, and 2,000 segments if they are large.
 */
const MOST_VISITED = 8_000;

export interface Copy extends Section {
  segment: Segment;
}

export class Copies {
  /** The sequence of the oldest log entry that is needed. */
  oldest = 0;
  /** Bytes that are yet to be copied. May be below 0, since segments are copied whole. */
  #left = 0;
  /** The segments to copy next, by table and index; the last one first. */
  #next: (readonly [table: string, index: number])[] = [];
  /** The last log entry when the last look began; `FIRST` if there was none. */
  #lookedAt = FIRST;
  /** A look that goes on with the next call. */
  #looking: Generator<number, number> | undefined;

  /** @param oldest the sequence of the first log entry */
  begin(oldest: number): void {
    this.oldest = oldest;
    this.#lookedAt = Math.max(FIRST, oldest);
    this.#looking = undefined;
  }

  /**
   * Returns copies of the segments that come next, and raises `oldest`.
   *
   * @param bytes of changes since the last call
   * @param last the sequence of the last log entry
   */
  take(bytes: number, tables: Tables, last: number): Copy[] {
    const copies: Copy[] = [];
    this.#left += COPY_SHARE * bytes;
    if (this.#left < COPY_BYTES) return copies;
    let visited = 0;
    for (let from = 0; this.#left > 0; ) {
      if (visited < MOST_VISITED) {
        if (this.#next.length === 0 && from <= last)
          this.#looking ??= this.#look(tables, from, last);
        if (this.#looking) {
          const { done, value } = this.#looking.next();
          if (done) {
            this.#looking = undefined;
            from = value;
          } else visited += value;
          continue;
        }
      }
      const next = this.#next.pop();
      if (!next) break;
      const [table, at] = next;
      const { segments = [] } = tables.get(table) ?? {};
      const segment = segments[at];
      if (!segment) continue;
      const rows = segment.toRows();
      const copy = { table, index: COPIED + at, count: segments.length, rows, segment };
      copies.push(copy);
      this.#left -= bytesOf(copy);
    }
    // Every segment is copied, or a look goes on: what is left of the share is not carried over.
    this.#left = Math.min(this.#left, 0);
    return copies;
  }

  /** Notes copies that are on disk now. A segment that was split or joined since has no copy. */
  confirm(copies: readonly Copy[], tables: Tables, sequence: number): void {
    for (const { table: name, index, segment } of copies) {
      const table = tables.get(name);
      const at = index - COPIED;
      if (table?.segments[at] === segment) table.copiedAt[at] = sequence;
    }
  }

  /**
   * Looks for the segments whose copies are oldest. Rows that change meanwhile are in later entries.
   *
   * @param from earlier looks have found the segments with older copies
   * @yields how many segments it has visited, after each table
   * @returns `from` for the next look
   */
  *#look(tables: Tables, from: number, last: number): Generator<number, number> {
    let oldest = last + 1;
    for (const { copiedAt } of tables.values()) {
      for (let at = 0; at < copiedAt.length; at++) {
        // A segment without a copy is of a new table, which was logged after the last look.
        const copied = copiedAt[at] || this.#lookedAt;
        copiedAt[at] = copied;
        if (copied < oldest) oldest = copied;
      }
      yield copiedAt.length;
    }
    this.oldest = Math.max(this.oldest, oldest);
    this.#lookedAt = Math.max(FIRST, last);
    const begin = Math.max(from, oldest);
    const before = begin + Math.ceil((last + 1 - begin) / LOOKS_A_ROUND);
    for (const [name, { copiedAt }] of tables) {
      for (let at = 0; at < copiedAt.length; at++) {
        const copied = copiedAt[at] as number;
        if (copied >= from && copied < before) this.#next.push([name, at]);
      }
      yield copiedAt.length;
    }
    return before;
  }
}
