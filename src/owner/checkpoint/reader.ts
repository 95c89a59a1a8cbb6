/**
 * Reads the log into tables, a few values at a time, so that no more than those and the tables are
 * in memory. A damaged value is skipped, and costs only what it held.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import { type Segment, unpackRows } from "../../counters/segment.ts";
import { newSegment, newTable, stateNumbersOf } from "../../counters/table-name.ts";
import { COPIED, DROPPED, decodeSections, type Head, LOG, type Section, sumOf } from "./format.ts";

export type ReadStorage = Pick<DurableObjectStorage, "get" | "list">;

/** The most values that are in memory at once. */
const BATCH_VALUES = 16;

export interface Log {
  /** The bytes and the checksum of each value, by sequence in order. */
  values: Map<number, { bytes: number; sum: number }>;
  /** Sequences of values that are damaged or no longer needed. */
  unneeded: number[];
  isDamaged: boolean;
}

/**
 * Reads the log in order: a row replaces the key's earlier row, a copy the whole segment. Leaves out
 * rows that expired before the head was written: the owner may have swept them, which no entry says,
 * and a full one could not take them all.
 *
 * @param onValue called before each value is read, with its sequence
 */
export async function readLog(
  storage: ReadStorage,
  tables: Map<string, CounterTable>,
  { oldestLog, clockMs }: Head,
  onValue = (_sequence: number) => {},
): Promise<Log> {
  const log: Log = { values: new Map(), unneeded: [], isDamaged: false };
  for await (const [key, value] of scan(storage, LOG)) {
    const sequence = Number(key.slice(LOG.length)) || 0;
    const isNeeded = sequence >= oldestLog;
    const found = isNeeded ? decodeSections(value) : undefined;
    // A value in the place of another one is damaged, too: its rows are older or newer.
    if (found?.sequence !== sequence) {
      log.isDamaged ||= isNeeded;
      log.unneeded.push(sequence);
      continue;
    }
    const bytes = value as Uint8Array<ArrayBuffer>;
    log.values.set(sequence, { bytes: bytes.length, sum: sumOf(bytes) });
    onValue(sequence);
    for (const section of found.sections) readSection(section, tables, sequence, clockMs);
  }
  return log;
}

/** Yields the values under a prefix, in the order of their keys. */
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

/**
 * @param sequence that of the section's log value
 * @param nowMs when rows have expired that are left out
 */
function readSection(
  { table: name, index, count, rows }: Section,
  tables: Map<string, CounterTable>,
  sequence: number,
  nowMs: number,
): void {
  if (index === DROPPED) {
    tables.delete(name);
    return;
  }
  const table = named(tables, name);
  if (index >= COPIED) {
    const segment = segmentFrom(name, rows);
    segment.sweep(nowMs, Number.POSITIVE_INFINITY);
    table.place(segment, index - COPIED, count, sequence);
    return;
  }
  unpackRows(stateNumbersOf(name), rows, (key, state) => {
    if (state && state[0] > nowMs) table.set(key, state);
    else table.deleteOnly(key);
  });
}

export function named(tables: Map<string, CounterTable>, name: string): CounterTable {
  const table = tables.get(name) ?? newTable(name);
  tables.set(name, table);
  return table;
}

export function segmentFrom(table: string, rows: Uint8Array<ArrayBuffer>): Segment {
  // `VariableRows` ignores the number.
  const rowBytes = (1 + stateNumbersOf(table)) * Float64Array.BYTES_PER_ELEMENT;
  const segment = newSegment(table, rows.length / rowBytes);
  segment.addRows(rows);
  return segment;
}
