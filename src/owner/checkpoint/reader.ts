/**
 * Reads what is on disk, a few values at a time, so that no more than those and the tables are in
 * memory. A damaged value is skipped, and costs only what it held.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import { type Segment, unpackRows } from "../../counters/segment.ts";
import { newSegment, newTable, stateNumbersOf } from "../../counters/table-name.ts";
import { DROPPED, decodeSections, LOG, PAGE, pageKey, type Section, type Value } from "./format.ts";
import { isShared, newPage, type Page, type Pages } from "./pages.ts";

export type ReadStorage = Pick<DurableObjectStorage, "get" | "list">;

/** Values that are in memory at once, besides the tables. */
const BATCH_VALUES = 64;

/** Where it is read into. */
export interface Target {
  tables: Map<string, CounterTable>;
  /** Gets the storage keys of what is damaged or no longer needed, too. */
  pages: Pages;
}

export interface Read {
  /** Sequences of the log entries that are needed, the oldest first. */
  logs: number[];
  /** The highest sequence seen. */
  sequence: number;
  /** How many pages there were, damaged ones included. */
  pages: number;
  /** Whether anything is damaged, or a page is missing. */
  isDamaged: boolean;
}

/** A table as its pages are found. */
interface FoundTable {
  /** When the page was written that was written last, and how many segments there were then. */
  sequence: number;
  count: number;
  parts: Map<number, { segment: Segment; page: Page }>;
}

/**
 * Reads pages and log into empty tables.
 *
 * @param oldestLog the sequence of the first log entry that is needed
 */
export async function readPages(
  storage: ReadStorage,
  { tables, pages }: Target,
  oldestLog: number,
): Promise<Read> {
  const read: Read = { logs: [], sequence: 0, pages: 0, isDamaged: false };
  const found = new Map<string, FoundTable>();
  for await (const [key, value] of scan(storage, PAGE)) {
    read.pages++;
    const { sequence, sections } = decoded(key, value, read, pages);
    const page = newPage(key, sections[0]?.index ?? 0, sequence);
    pages.onDisk.add(page);
    for (const section of sections) addSection(found, section, page, sequence, pages);
  }
  for (const [name, { count, parts }] of found) {
    const all = Array.from({ length: count }, (_, index) => {
      const part = parts.get(index);
      if (!part) read.isDamaged = true;
      return part ?? { segment: newSegment(name, 0), page: newPage(pageKey(name, index), index) };
    });
    const segments = all.map(({ segment }) => segment);
    tables.set(name, newTable(name, segments));
    pages.add(name, { segments: [...segments], pages: all.map(({ page }) => page) });
  }
  // A crash came before they were deleted.
  for (const page of pages.onDisk) if (page.tables.size === 0) pages.remove(page);
  const withoutPages = new Map<string, number>();
  for await (const [key, value] of scan(storage, LOG)) {
    const { sequence, sections } = decoded(key, value, read, pages);
    // What it had is in pages that were written later.
    if (sequence < oldestLog) pages.obsolete.add(key);
    if (pages.obsolete.has(key)) continue;
    read.logs.push(sequence);
    for (const { table: name, index, rows } of sections) {
      if (index === DROPPED) {
        if (pages.isReadSince(name, sequence)) continue;
        tables.delete(name);
        pages.drop(name, sequence);
        continue;
      }
      const table = tables.get(name) ?? newTable(name);
      if (!tables.has(name)) withoutPages.set(name, sequence);
      tables.set(name, table);
      unpackRows(stateNumbersOf(name), rows, (hash, state) => {
        if (!pages.lacks(name, hash, sequence)) return;
        if (state) table.set(hash, state);
        else table.delete(hash);
      });
    }
  }
  for (const [name, sequence] of withoutPages) {
    pages.reconcile(name, tables.get(name), sequence);
  }
  return read;
}

/** Goes through the values under a prefix, in the order of their keys. */
export async function* scan(
  storage: ReadStorage,
  prefix: string,
): AsyncGenerator<[key: string, value: unknown]> {
  let startAfter: string | undefined;
  for (;;) {
    const options = { prefix, limit: BATCH_VALUES, ...(startAfter && { startAfter }) };
    const batch = await storage.list<unknown>(options);
    yield* batch;
    if (batch.size < BATCH_VALUES) return;
    startAfter = [...batch.keys()].at(-1);
  }
}

/** Decodes a page or log entry; one that is damaged has no sections. */
function decoded(key: string, value: unknown, read: Read, { obsolete }: Pages): Value {
  const found = decodeSections(value);
  if (!found) {
    read.isDamaged = true;
    obsolete.add(key);
  }
  // The next log entry must not take the key of a damaged one, since that is deleted.
  const sequence = found?.sequence ?? (Number(key.split(LOG)[1]) || 0);
  read.sequence = Math.max(read.sequence, sequence);
  return found ?? { sequence, sections: [] };
}

function addSection(
  found: Map<string, FoundTable>,
  { table: name, index, count, rows }: Section,
  page: Page,
  sequence: number,
  { due }: Pages,
): void {
  let table = found.get(name);
  if (isShared(page)) {
    // The table has left one: it has pages of its own, or joined another later. The page it left is
    // written without it, or it would come back from there once it is dropped.
    if (table && table.sequence > sequence) {
      due.add(page);
      return;
    }
    for (const { page: left } of table?.parts.values() ?? []) due.add(left);
    table = undefined;
  }
  table ??= { sequence: 0, count: 1, parts: new Map() };
  found.set(name, table);
  // Of states of any length, it needs no room.
  const rowBytes = (1 + stateNumbersOf(name)) * Float64Array.BYTES_PER_ELEMENT;
  const segment = newSegment(name, rows.length / rowBytes);
  segment.addRows(rows);
  table.parts.set(index, { segment, page });
  // Whenever the count changes, a page is written.
  if (sequence > table.sequence) Object.assign(table, { sequence, count });
}
