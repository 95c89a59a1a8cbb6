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
import { pageKey, type Section, SHARED_PAGE } from "./format.ts";

export interface Page {
  /** Its storage key. */
  readonly key: string;
  /** Which of its table's segments it holds; 0 if tables share it. */
  readonly index: number;
  /** One table, or those that share it. */
  readonly tables: Set<string>;
  /** The sequence at which it was written; 0 if it never was. */
  writtenAt: number;
  /** The sequence of the first change since; `CLEAN`, or `UNLOGGED` if the log lacks changes. */
  dirtySince: number;
}

/** The pages of a table, and the segments that it had then. */
interface Layout {
  segments: readonly Segment[];
  pages: readonly Page[];
}

export type KeysByPage = Map<string, Map<Page, KeyHash[]>>;
export type Tables = ReadonlyMap<string, CounterTable>;

export const CLEAN = Number.POSITIVE_INFINITY;
/** The page must be written next: it is new, or its segment was split or joined. */
export const UNLOGGED = 0;
/** A table shares a page until its rows take more. */
const SMALL_BYTES = 1_024;
/** Tables join a shared page until it holds this much. */
const SHARED_BYTES = 16_384;
/** What a table takes in a page besides its rows, about. */
const ABOUT_SECTION_BYTES = 64;

export class Pages {
  /** Storage keys of pages that nothing needs. */
  readonly obsolete = new Set<string>();
  /** All pages that are on disk. */
  readonly onDisk = new Set<Page>();
  readonly #layouts = new Map<string, Layout>();
  readonly #unlogged = new Set<Page>();
  /** In the order in which they became dirty. */
  #dirty = new Set<Page>();
  /** The shared page that small tables join now, and how full it is. */
  #filling: { page: Page; bytes: number } | undefined;
  #nextShared = 0;

  /** The sequence of the oldest change that only the log has; `CLEAN` without one. */
  get neededFrom(): number {
    if (this.#unlogged.size > 0) return UNLOGGED;
    const [oldest] = this.#dirty;
    return oldest?.dirtySince ?? CLEAN;
  }

  pageOf(table: string, key: KeyHash): Page | undefined {
    const pages = this.#layouts.get(table)?.pages;
    return pages?.[segmentOf(key, pages.length)];
  }

  pagesOf(table: string): readonly Page[] {
    return this.#layouts.get(table)?.pages ?? [];
  }

  /** Notes a change that the log has, or will have, at that sequence. */
  dirty(page: Page, sequence: number): void {
    if (page.dirtySince <= sequence) return;
    page.dirtySince = sequence;
    this.#dirty.delete(page);
    (sequence === UNLOGGED ? this.#unlogged : this.#dirty).add(page);
  }

  /**
   * Makes the pages dirty that changed keys are in. The log will have these changes at that
   * sequence.
   *
   * @returns the keys by table and page
   */
  dirtyWith(changed: ReadonlyMap<string, Segment>, tables: Tables, sequence: number): KeysByPage {
    const all: KeysByPage = new Map();
    for (const [name, keys] of changed) {
      const table = tables.get(name);
      if (!table) continue;
      this.reconcile(name, table, sequence);
      const byPage = new Map<Page, KeyHash[]>();
      keys.some((key) => {
        const page = this.pageOf(name, key) as Page;
        const each = byPage.get(page);
        if (each) each.push(key);
        else byPage.set(page, [key]);
        return false;
      });
      for (const page of byPage.keys()) this.dirty(page, sequence);
      all.set(name, byPage);
    }
    return all;
  }

  /** Finds out which pages a table has now. */
  reconcile(name: string, table: CounterTable, sequence: number): void {
    const { segments } = table;
    const layout = this.#layouts.get(name);
    const isSmall = segments.length === 1 && table.bytes < SMALL_BYTES;
    let before = layout?.pages ?? [];
    if (isSmall && (!layout || isShared(before[0]))) {
      const page = before[0] ?? this.#join(name, table.bytes);
      // The log has all rows of a table that is new.
      if (!layout) this.dirty(page, sequence);
      this.#layouts.set(name, { segments: [...segments], pages: [page] });
      return;
    }
    if (layout?.segments.length === segments.length && !isShared(before[0])) {
      if (segments.every((segment, index) => layout.segments[index] === segment)) return;
    }
    if (isShared(before[0])) {
      this.#leave(name, before[0] as Page, sequence);
      before = [];
    }
    const pages = segments.map((segment, index) => {
      const page = before[index] ?? newPage(pageKey(name, index), index, [name]);
      if (layout?.segments[index] !== segment || before[index] === undefined) {
        this.dirty(page, UNLOGGED);
      }
      return page;
    });
    for (const page of before.slice(pages.length)) this.#remove(page);
    this.#layouts.set(name, { segments: [...segments], pages });
  }

  /** Forgets a table that is gone. */
  drop(name: string, sequence: number): void {
    for (const page of this.pagesOf(name)) {
      if (isShared(page)) this.#leave(name, page, sequence);
      else this.#remove(page);
    }
    this.#layouts.delete(name);
  }

  /**
   * Picks the pages to write: those that must be, and of the others those that are dirty for
   * longest, up to some bytes. They count as clean from then on.
   *
   * @returns each with the sequence since when it was dirty
   */
  choose(bytes: number, tables: Tables, sequence: number): Map<Page, number> {
    const chosen = new Map<Page, number>();
    for (let left = bytes; ; ) {
      const [page] = this.#unlogged.size > 0 || left <= 0 ? this.#unlogged : this.#dirty;
      if (!page) return chosen;
      // A sweep may have joined segments without a change.
      for (const name of [...page.tables]) {
        const table = tables.get(name);
        if (table) this.reconcile(name, table, sequence);
      }
      if (page.tables.size === 0) this.#remove(page);
      if (page.dirtySince === CLEAN) continue;
      // Reconciled meanwhile, so that the log does not have all of it.
      const since = Math.min(chosen.get(page) ?? CLEAN, page.dirtySince);
      this.#clean(page);
      chosen.set(page, since);
      this.onDisk.add(page);
      this.obsolete.delete(page.key);
      left -= bytesOf(page, tables);
    }
  }

  /** Takes a page for dirty again that could not be written. */
  restore(page: Page, dirtySince: number): void {
    if (page.tables.size === 0) return;
    this.dirty(page, dirtySince);
    this.#dirty = new Set([...this.#dirty].sort((one, other) => one.dirtySince - other.dirtySince));
  }

  /** Adds a table that was read from disk, with the page of each of its segments. */
  add(name: string, segments: readonly Segment[], pages: readonly Page[]): void {
    this.#layouts.set(name, { segments: [...segments], pages });
    for (const page of pages) {
      if (page.writtenAt > 0) this.onDisk.add(page);
      else this.dirty(page, UNLOGGED);
      if (!isShared(page)) continue;
      this.#nextShared = Math.max(this.#nextShared, Number(page.key.slice(SHARED_PAGE.length)) + 1);
    }
  }

  clear(): void {
    for (const all of [this.obsolete, this.onDisk, this.#layouts, this.#unlogged, this.#dirty]) {
      all.clear();
    }
    this.#filling = undefined;
  }

  #join(name: string, bytes: number): Page {
    const filling = this.#filling;
    if (!filling || filling.bytes > SHARED_BYTES || filling.page.tables.size === 0) {
      this.#filling = { page: newPage(`${SHARED_PAGE}${this.#nextShared++}`, 0, []), bytes: 0 };
    }
    const { page } = this.#filling as { page: Page };
    (this.#filling as { bytes: number }).bytes += bytes + ABOUT_SECTION_BYTES;
    page.tables.add(name);
    return page;
  }

  #leave(name: string, page: Page, sequence: number): void {
    page.tables.delete(name);
    // On disk, it has the table until it is written.
    if (page.tables.size > 0) this.dirty(page, sequence);
    else this.#remove(page);
  }

  #remove(page: Page): void {
    this.#clean(page);
    page.tables.clear();
    if (this.onDisk.delete(page)) this.obsolete.add(page.key);
  }

  #clean(page: Page): void {
    page.dirtySince = CLEAN;
    this.#unlogged.delete(page);
    this.#dirty.delete(page);
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

export function newPage(key: string, index: number, tables: readonly string[]): Page {
  return { key, index, tables: new Set(tables), writtenAt: 0, dirtySince: CLEAN };
}

export function isShared(page: Pick<Page, "key"> | undefined): boolean {
  return page?.key.startsWith(SHARED_PAGE) ?? false;
}

function bytesOf(page: Page, tables: Tables): number {
  let bytes = 0;
  for (const name of page.tables) bytes += tables.get(name)?.segments[page.index]?.bytes ?? 0;
  return bytes;
}
