/**
 * Which pages the tables have on disk, and which of them are dirty.
 *
 * A page is a segment as last written, replaced in place. Small tables share pages. A page may stay
 * dirty as long as the log has every change since it was written; the one that is dirty for longest
 * is written first.
 */
import { type CounterTable, segmentOf } from "../../counters/counter-table.ts";
import type { Segment } from "../../counters/segment.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Changes, Tables } from "./changes.ts";
import { pageKey, type Section, SHARED_PAGE } from "./format.ts";

export interface Page {
  /** Its storage key. */
  readonly key: string;
  /** Which of its table's segments it holds; 0 if tables share it. */
  readonly index: number;
  /** One table, or those that share it. */
  readonly tables: Set<string>;
  /** The sequence it was read with; 0 if it was not on disk then. */
  readonly readAt: number;
}

/** The pages of a table, and the segments that it had then. */
interface Layout {
  segments: readonly Segment[];
  pages: readonly Page[];
}

/** A table shares a page until its rows take more. */
const SMALL_BYTES = 1_024;
/** Tables join a shared page until it holds this much. */
const SHARED_BYTES = 16_384;
/** What a table takes in a page besides its rows, about. */
const ABOUT_SECTION_BYTES = 64;

export class Pages {
  readonly onDisk = new Set<Page>();
  /** Must be written next: the page is new, or its segment was split or joined. */
  readonly due = new Set<Page>();
  /** Storage keys that nothing needs once the next checkpoint is on disk. */
  readonly obsolete = new Set<string>();
  /** With the sequence of the first change since it was written, about in this order. */
  readonly #dirty = new Map<Page, number>();
  readonly #layouts = new Map<string, Layout>();
  /** The shared page that small tables join now, and how full it is. */
  #filling = { page: newPage("", 0), bytes: 0 };
  #nextShared = 0;

  /** The sequence of the oldest change that only the log has; infinite without one. */
  get dirtySince(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const since of this.#dirty.values()) oldest = Math.min(oldest, since);
    return oldest;
  }

  /** Notes changes that the log has, or will have, at that sequence. */
  change({ keys: changed }: Changes, tables: Tables, sequence: number): void {
    for (const [name, keys] of changed) {
      this.reconcile(name, tables.get(name), sequence);
      keys.visit((key) => {
        const page = this.#pageOf(name, key);
        if (page) this.#dirtyFrom(page, sequence);
      });
    }
  }

  /** Tells whether a page that was read lacks what the log has of a key, and notes that. */
  lacks(table: string, key: KeyHash, sequence: number): boolean {
    const page = this.#pageOf(table, key);
    if (page && page.readAt >= sequence) return false;
    if (page) this.#dirtyFrom(page, sequence);
    return true;
  }

  /** Tells whether a page of a table was written at that sequence or later, when it was read. */
  isReadSince(table: string, sequence: number): boolean {
    return this.#layouts.get(table)?.pages.some(({ readAt }) => readAt >= sequence) ?? false;
  }

  /** Finds out which pages a table has now; the log will have its changes at that sequence. */
  reconcile(name: string, table: CounterTable | undefined, sequence: number): void {
    if (!table) return;
    const { segments } = table;
    const layout = this.#layouts.get(name);
    const isIn = isShared(layout?.pages[0]);
    if (segments.length === 1 && table.bytes < SMALL_BYTES && (isIn || !layout)) {
      if (isIn) return;
      const page = this.#join(name, table.bytes);
      this.#layouts.set(name, { segments: [], pages: [page] });
      // The log has all rows of a table that is new.
      this.#dirtyFrom(page, sequence);
      return;
    }
    if (isIn) this.drop(name, sequence);
    const { segments: before, pages: own } = (!isIn && layout) || { segments: [], pages: [] };
    if (before.length === segments.length && before.every((each, at) => each === segments[at])) {
      return;
    }
    const pages = segments.map((segment, index) => {
      const page = own[index] ?? newPage(pageKey(name, index), index);
      page.tables.add(name);
      if (before[index] !== segment) this.due.add(page);
      return page;
    });
    for (const page of own.slice(pages.length)) this.#leave(name, page, sequence);
    this.#layouts.set(name, { segments: [...segments], pages });
  }

  /** Forgets a table that is gone. */
  drop(name: string, sequence: number): void {
    for (const page of this.#layouts.get(name)?.pages ?? []) this.#leave(name, page, sequence);
    this.#layouts.delete(name);
  }

  /**
   * Picks the pages to write: those that are due, and of the others those that are dirty for
   * longest, up to some bytes. They count as clean from then on.
   */
  choose(bytes: number, tables: Tables, sequence: number): Page[] {
    const chosen = new Set<Page>();
    for (let left = bytes; ; ) {
      const [page] = this.due.size > 0 || left <= 0 ? this.due : this.#dirty.keys();
      if (!page) break;
      for (const name of [...page.tables]) {
        const table = tables.get(name);
        // A sweep may have joined segments without a change.
        this.reconcile(name, table, sequence);
        left -= table?.segments[page.index]?.bytes ?? 0;
      }
      this.due.delete(page);
      this.#dirty.delete(page);
      chosen.add(page);
    }
    // A page without a table was joined with another after it was picked.
    const pages = [...chosen].filter(({ tables }) => tables.size > 0);
    for (const page of pages) {
      this.onDisk.add(page);
      this.obsolete.delete(page.key);
    }
    return pages;
  }

  /** Adds a table that was read from disk, with the page of each of its segments. */
  add(name: string, layout: Layout): void {
    this.#layouts.set(name, layout);
    for (const page of layout.pages) {
      page.tables.add(name);
      if (!this.onDisk.has(page)) this.due.add(page);
      if (!isShared(page)) continue;
      this.#nextShared = Math.max(this.#nextShared, Number(page.key.slice(SHARED_PAGE.length)) + 1);
    }
  }

  /** Has a page deleted, now that no table is in it. */
  remove(page: Page): void {
    this.due.delete(page);
    this.#dirty.delete(page);
    if (this.onDisk.delete(page)) this.obsolete.add(page.key);
  }

  #join(name: string, bytes: number): Page {
    if (this.#filling.bytes > SHARED_BYTES || this.#filling.page.tables.size === 0) {
      this.#filling = { page: newPage(`${SHARED_PAGE}${this.#nextShared++}`, 0), bytes: 0 };
    }
    this.#filling.bytes += bytes + ABOUT_SECTION_BYTES;
    this.#filling.page.tables.add(name);
    return this.#filling.page;
  }

  #leave(name: string, page: Page, sequence: number): void {
    page.tables.delete(name);
    if (page.tables.size === 0) this.remove(page);
    // On disk, it has the table until it is written.
    else this.#dirtyFrom(page, sequence);
  }

  #pageOf(table: string, key: KeyHash): Page | undefined {
    const pages = this.#layouts.get(table)?.pages;
    return pages?.[segmentOf(key, pages.length)];
  }

  #dirtyFrom(page: Page, sequence: number): void {
    const before = this.#dirty.get(page) ?? sequence;
    // Tables that share it may be read in any order.
    this.#dirty.set(page, Math.min(before, sequence));
  }
}

/** Returns the rows of a page: a section for each table in it. */
export function sectionsOf(page: Page, tables: Tables): Section[] {
  return [...page.tables].flatMap((table) => {
    const { segments } = tables.get(table) ?? { segments: [] };
    const segment = segments[page.index];
    if (!segment) return [];
    return { table, index: page.index, count: segments.length, rows: segment.toRows() };
  });
}

export function newPage(key: string, index: number, readAt = 0): Page {
  return { key, index, tables: new Set(), readAt };
}

export function isShared(page: Page | undefined): boolean {
  return page?.key.startsWith(SHARED_PAGE) ?? false;
}
