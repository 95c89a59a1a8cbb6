/**
 * Copies segments forward in the log, the one whose copy is oldest first. All older log entries are
 * free then, since the rows that they have are in later ones.
 */
import type { Tables } from "./changes.ts";
import { COPIED, type Section } from "./format.ts";

/** What a segment takes in the log besides its rows, about. */
const HEAD_BYTES = 64;
/** Segments are looked for that many times while all are copied once. To look costs by the table. */
const LOOKS_A_ROUND = 16;

export class Copies {
  /** The sequence of the oldest log entry that is needed. */
  oldest = 0;
  /** Bytes that are yet to be copied. Below 0, since segments are copied whole. */
  #left = 0;
  /** Those to copy next, by table and index. */
  #next: (readonly [table: string, index: number])[] = [];

  /**
   * Returns copies of the segments that come next, and raises `oldest`.
   *
   * @param bytes how much to copy, on average
   * @param sequence of the log entry that they will be in
   */
  take(bytes: number, tables: Tables, sequence: number): Section[] {
    const sections: Section[] = [];
    this.#left += bytes;
    while (this.#left > 0) {
      if (this.#next.length === 0) this.#look(tables, sequence);
      const next = this.#next.pop();
      if (!next) {
        // All are copied.
        this.#left = 0;
        break;
      }
      const [name, index] = next;
      const { segments = [], copiedAt = [] } = tables.get(name) ?? {};
      const segment = segments[index];
      if (!segment) continue;
      copiedAt[index] = sequence;
      const rows = segment.toRows();
      sections.push({ table: name, index: COPIED + index, count: segments.length, rows });
      this.#left -= rows.length + HEAD_BYTES;
    }
    return sections;
  }

  /** To be called if copies may not have reached the disk. */
  takeBack(tables: Tables, sequence: number, oldest: number): void {
    this.oldest = oldest;
    this.#next = [];
    for (const { copiedAt } of tables.values()) {
      for (const [at, copied] of copiedAt.entries()) if (copied >= sequence) copiedAt[at] = oldest;
    }
  }

  #look(tables: Tables, sequence: number): void {
    let oldest = sequence;
    for (const { copiedAt } of tables.values()) {
      for (const copied of copiedAt) oldest = Math.min(oldest, copied);
    }
    this.oldest = Math.max(this.oldest, oldest);
    const before = oldest + Math.ceil((sequence - oldest) / LOOKS_A_ROUND);
    for (const [name, { copiedAt }] of tables) {
      for (const [at, copied] of copiedAt.entries())
        if (copied < before) this.#next.push([name, at]);
    }
  }
}
