/**
 * Reads the log into tables, a few values at a time, so that no more than those and the tables are
 * in memory. A damaged value is skipped, and costs only what it held.
 */
import { type CounterTable, segmentOf } from "../../counters/counter-table.ts";
import { unpackRows } from "../../counters/segment.ts";
import { newSegment, newTable, stateNumbersOf } from "../../counters/table-name.ts";
import { COPIED, DROPPED, decodeSections, LOG, PAGE, type Section, type Value } from "./format.ts";

export type ReadStorage = Pick<DurableObjectStorage, "get" | "list">;

/** Values that are in memory at once, besides the tables. */
const BATCH_VALUES = 16;

/** A value on disk. */
export interface Written {
  sequence: number;
  bytes: number;
}

export interface Read {
  /** What is needed, by its storage key. */
  written: Map<string, Written>;
  /** Storage keys of what is damaged or no longer needed. */
  obsolete: Set<string>;
  /** The highest sequence seen. */
  sequence: number;
  isDamaged: boolean;
  /** Whether anything was written together with a head. */
  hasHead: boolean;
}

/**
 * Reads pages and log into empty tables.
 *
 * @param oldest the sequence of the first log entry that is needed
 */
export async function readLog(
  storage: ReadStorage,
  tables: Map<string, CounterTable>,
  oldest: number,
): Promise<Read> {
  const read: Read = {
    written: new Map(),
    obsolete: new Set(),
    sequence: 0,
    isDamaged: false,
    hasHead: false,
  };
  const pages: { sequence: number; place: () => void }[] = [];
  for await (const { sequence, sections } of values(storage, PAGE, read, 0)) {
    for (const { table, index, count, rows } of sections) {
      const segment = segmentFrom(table, rows);
      const place = () => named(tables, table).place(segment, index, count, sequence);
      pages.push({ sequence, place });
    }
  }
  // They come in the order of their keys, and count in the order in which they were written.
  pages.sort((one, other) => one.sequence - other.sequence);
  for (const { place } of pages) place();
  for await (const { sequence, sections } of values(storage, LOG, read, oldest)) {
    for (const section of sections) readSection(section, tables, sequence);
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

/** Goes through the values under a prefix that are whole and needed, and notes all others. */
async function* values(
  storage: ReadStorage,
  prefix: string,
  read: Read,
  oldest: number,
): AsyncGenerator<Value> {
  for await (const [key, value] of scan(storage, prefix)) {
    const found = decodeSections(value);
    if (!found) read.isDamaged = true;
    // The next log entry must not take the key of a damaged one, since that is deleted.
    const sequence = found?.sequence ?? (Number(key.split(LOG)[1]) || 0);
    read.sequence = Math.max(read.sequence, sequence);
    if (!found || sequence < oldest) {
      read.obsolete.add(key);
      continue;
    }
    read.written.set(key, { sequence, bytes: (value as Uint8Array).length });
    read.hasHead ||= found.sections.some(({ count }) => count > 0);
    yield found;
  }
}

function readSection(
  { table: name, index, count, rows }: Section,
  tables: Map<string, CounterTable>,
  sequence: number,
): void {
  const table = named(tables, name);
  const { copiedAt } = table;
  if (index === DROPPED) {
    if (copiedAt.every((copied) => copied < sequence)) tables.delete(name);
  } else if (index >= COPIED) {
    table.place(segmentFrom(name, rows), index - COPIED, count, sequence);
  } else {
    unpackRows(stateNumbersOf(name), rows, (key, state) => {
      // A page may have a later state.
      if ((copiedAt[segmentOf(key, copiedAt.length)] as number) >= sequence) return;
      if (state) table.set(key, state);
      else table.delete(key);
    });
  }
}

function named(tables: Map<string, CounterTable>, name: string): CounterTable {
  const table = tables.get(name) ?? newTable(name);
  tables.set(name, table);
  return table;
}

function segmentFrom(table: string, rows: Uint8Array<ArrayBuffer>) {
  // Of states of any length, it needs no room.
  const rowBytes = (1 + stateNumbersOf(table)) * Float64Array.BYTES_PER_ELEMENT;
  const segment = newSegment(table, rows.length / rowBytes);
  segment.addRows(rows);
  return segment;
}
