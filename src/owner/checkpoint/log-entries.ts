/** What a log entry holds: rows by table, and which tables were dropped before. */
import type { CounterTable } from "../../counters/counter-table.ts";
import { packRows, type Row } from "../../counters/segment.ts";
import { stateNumbersOf } from "../../counters/table-name.ts";
import { DROPPED, type Section } from "./format.ts";
import type { KeysByPage, Page, Tables } from "./pages.ts";

/** The longest log entry, unless one row is longer. A value may have 2 MB. */
const LOG_BYTES = 500_000;
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** The log entries of a checkpoint: dropped tables, and changed rows of pages that stay dirty. */
export function logEntries(
  dropped: Iterable<string>,
  pages: ReadonlyMap<Page, number>,
  changed: KeysByPage,
  tables: Tables,
): Section[][] {
  const rows = new Map<string, Row[]>();
  for (const [name, byPage] of changed) {
    const table = tables.get(name) as CounterTable;
    const each: Row[] = [];
    for (const [page, keys] of byPage) {
      if (pages.has(page)) continue;
      for (const key of keys) each.push({ key, state: table.get(key) });
    }
    if (each.length > 0) rows.set(name, each);
  }
  const drops = Array.from(dropped, (table) => ({
    table,
    index: DROPPED,
    count: 0,
    rows: new Uint8Array(),
  }));
  return cut([...drops, ...sectionsOfRows(rows)]);
}

/** Returns the log entries that hold these rows, by table. */
export function entriesOfRows(rows: ReadonlyMap<string, readonly Row[]>): Section[][] {
  return cut(sectionsOfRows(rows));
}

/** Packs rows into sections. Each is at most a little longer than a log entry may be. */
function sectionsOfRows(rows: ReadonlyMap<string, readonly Row[]>): Section[] {
  const sections: Section[] = [];
  for (const [table, all] of rows) {
    for (let from = 0; from < all.length; ) {
      let to = from;
      for (let bytes = 0; to < all.length && bytes < LOG_BYTES; to++) {
        bytes += ((all[to]?.state?.length ?? 0) + 2) * NUMBER_BYTES;
      }
      const packed = packRows(stateNumbersOf(table), all.slice(from, to));
      sections.push({ table, index: 0, count: 0, rows: packed });
      from = to;
    }
  }
  return sections;
}

/** Divides sections among log entries. */
function cut(sections: readonly Section[]): Section[][] {
  const entries: Section[][] = [];
  let left = 0;
  for (const section of sections) {
    if (left <= 0) {
      entries.push([]);
      left = LOG_BYTES;
    }
    entries.at(-1)?.push(section);
    left -= section.rows.length + section.table.length;
  }
  return entries;
}
