/**
 * Reads what is on disk, a few values at a time, so that no more than those and the tables are in
 * memory. A damaged value is skipped, and costs only what it held.
 */
import { segmentOf } from "../../counters/counter-table.ts";
import { type Segment, unpackRows } from "../../counters/segment.ts";
import { newSegment, newTable, stateNumbersOf } from "../../counters/table-name.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { DROPPED, decodeSections, LOG, PAGE, pageKey, type Section } from "./format.ts";
import { isShared, newPage, type Page, type Pages } from "./pages.ts";

export type ReadStorage = Pick<DurableObjectStorage, "get" | "list">;

/** Values that are in memory at once, besides the tables. */
const BATCH_VALUES = 64;

/** Where it is read into. */
export interface Target {
  tables: Map<string, ReturnType<typeof newTable>>;
  pages: Pages;
}

export interface Read {
  /** Sequences of the log entries, the oldest first. */
  logs: number[];
  /** The highest sequence seen. */
  sequence: number;
  /** Storage keys of values that are damaged. */
  damaged: string[];
  /** How many pages there were, damaged ones included. */
  pages: number;
  /** Whether something is missing that should be there. */
  lacks: boolean;
}

/** A table as its pages are found. */
interface Found {
  /** When the page was written that was written last, and how many segments there were then. */
  sequence: number;
  count: number;
  segments: Map<number, { segment: Segment; page: Page }>;
}

/** Reads pages and log into empty tables. */
export async function readPages(storage: ReadStorage, target: Target): Promise<Read> {
  const read: Read = { logs: [], sequence: 0, damaged: [], pages: 0, lacks: false };
  const found = new Map<string, Found>();
  for await (const [key, value] of scan(storage, PAGE)) {
    read.pages++;
    const decoded = decodeSections(value);
    if (!decoded) {
      read.damaged.push(key);
      continue;
    }
    const { sequence, sections } = decoded;
    read.sequence = Math.max(read.sequence, sequence);
    const page = { ...newPage(key, sections[0]?.index ?? 0, []), writtenAt: sequence };
    for (const section of sections) addSection(found, section, page, target.pages);
    if (page.tables.size === 0) target.pages.obsolete.add(key);
  }
  for (const [name, table] of found) {
    if (addTable(name, table, target, read.damaged.length > 0)) read.lacks = true;
  }
  await readLog(storage, target, read);
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

function addSection(found: Map<string, Found>, section: Section, page: Page, pages: Pages): void {
  const { table: name, index, count, rows } = section;
  const { writtenAt: sequence } = page;
  const table = found.get(name) ?? { sequence: 0, count: 1, segments: new Map() };
  if (isShared(page)) {
    const other = table.segments.get(0)?.page;
    // The table has left this page: it has pages of its own, or joined another later.
    if (other && (!isShared(other) || other.writtenAt > sequence)) return;
    if (other) {
      other.tables.delete(name);
      if (other.tables.size === 0) pages.obsolete.add(other.key);
    }
  }
  page.tables.add(name);
  // Of states of any length, it needs no room.
  const rowBytes = (1 + stateNumbersOf(name)) * Float64Array.BYTES_PER_ELEMENT;
  const segment = newSegment(name, rows.length / rowBytes);
  segment.addRows(rows);
  table.segments.set(index, { segment, page });
  // Whenever the count changes, a page is written.
  if (sequence > table.sequence) Object.assign(table, { sequence, count });
  found.set(name, table);
}

/** @returns whether a page is missing */
function addTable(
  name: string,
  { count, segments: found }: Found,
  { tables, pages }: Target,
  isDamaged: boolean,
): boolean {
  let lacks = false;
  const segments: Segment[] = [];
  const own: Page[] = [];
  for (let index = 0; index < count; index++) {
    const each = found.get(index);
    lacks ||= !each;
    segments.push(each?.segment ?? newSegment(name, 0));
    own.push(each?.page ?? newPage(pageKey(name, index), index, [name]));
  }
  // Left behind when segments were joined.
  for (const [index, { page }] of found) if (index >= count) pages.obsolete.add(page.key);
  const misplaced: [KeyHash, Segment][] = [];
  if (isDamaged || lacks) {
    for (const [index, segment] of segments.entries()) {
      segment.some((key) => {
        if (segmentOf(key, count) !== index) misplaced.push([key, segment]);
        return false;
      });
    }
  }
  for (const [key, segment] of misplaced) {
    const state = segment.get(key);
    if (state) segments[segmentOf(key, count)]?.set(key, state);
    segment.delete(key);
  }
  // As if it had never been written: a page of another count would be misread.
  if (misplaced.length > 0) for (const page of own) page.writtenAt = 0;
  tables.set(name, newTable(name, segments));
  pages.add(name, segments, own);
  return lacks;
}

async function readLog(storage: ReadStorage, { tables, pages }: Target, read: Read): Promise<void> {
  const withoutPages = new Map<string, number>();
  for await (const [key, value] of scan(storage, LOG)) {
    const entry = decodeSections(value);
    if (!entry) {
      read.damaged.push(key);
      // The next entry must not take its key, since that is deleted.
      read.sequence = Math.max(read.sequence, Number(key.slice(LOG.length)));
      continue;
    }
    const { sequence, sections } = entry;
    read.sequence = Math.max(read.sequence, sequence);
    read.logs.push(sequence);
    for (const { table: name, index, rows } of sections) {
      if (index === DROPPED) {
        if (pages.pagesOf(name).some(({ writtenAt }) => writtenAt >= sequence)) continue;
        tables.delete(name);
        pages.drop(name, sequence);
        withoutPages.delete(name);
        continue;
      }
      const table = tables.get(name) ?? newTable(name);
      if (!tables.has(name)) withoutPages.set(name, sequence);
      tables.set(name, table);
      unpackRows(stateNumbersOf(name), rows, (hash, state) => {
        const page = pages.pageOf(name, hash);
        if (page && page.writtenAt >= sequence) return;
        if (page) pages.dirty(page, sequence);
        if (state) table.set(hash, state);
        else table.delete(hash);
      });
    }
  }
  for (const [name, sequence] of withoutPages) {
    const table = tables.get(name);
    if (table) pages.reconcile(name, table, sequence);
  }
}
