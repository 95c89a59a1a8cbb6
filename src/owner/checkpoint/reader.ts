/**
 * Reads the log into tables, a few values at a time, so that no more than those and the tables are
 * in memory. A damaged value is skipped, and costs only what it held.
 */
import { type CounterTable, segmentOf } from "../../counters/counter-table.ts";
import { type Segment, unpackRows } from "../../counters/segment.ts";
import { newSegment, newTable, stateNumbersOf } from "../../counters/table-name.ts";
import { COPIED, DROPPED, decodeSections, LOG, type Section } from "./format.ts";

export type ReadStorage = Pick<DurableObjectStorage, "get" | "list">;

/** Values that are in memory at once, besides the tables. */
const BATCH_VALUES = 16;

export interface Log {
  /** Bytes of each value, by sequence in order; 0 if it is damaged or no longer needed. */
  bytes: Map<number, number>;
  isDamaged: boolean;
  /** Whether anything was written together with a head. */
  hasHead: boolean;
}

/**
 * Reads the log in order: a row replaces the one before, a copy the whole segment.
 *
 * @param oldest the sequence of the first log entry that is needed
 */
export async function readLog(
  storage: ReadStorage,
  tables: Map<string, CounterTable>,
  oldest: number,
): Promise<Log> {
  const log: Log = { bytes: new Map(), isDamaged: false, hasHead: false };
  for await (const [key, value] of scan(storage, LOG)) {
    const found = decodeSections(value);
    if (!found) log.isDamaged = true;
    // The next log entry must not take the key of a damaged one, since that is deleted.
    const sequence = found?.sequence ?? (Number(key.slice(LOG.length)) || 0);
    const isNeeded = found !== undefined && sequence >= oldest;
    log.bytes.set(sequence, isNeeded ? (value as Uint8Array).length : 0);
    if (!isNeeded) continue;
    log.hasHead ||= found.sections.some(({ count }) => count > 0);
    for (const section of found.sections) readSection(section, tables, sequence);
  }
  return log;
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

function readSection(
  { table: name, index, count, rows }: Section,
  tables: Map<string, CounterTable>,
  sequence: number,
): void {
  const table = named(tables, name);
  const { copiedAt } = table;
  if (index === DROPPED) {
    // A page may be newer.
    if (copiedAt.every((copied) => copied < sequence)) tables.delete(name);
  } else if (index >= COPIED) {
    table.place(segmentFrom(name, rows), index - COPIED, count, sequence);
  } else {
    unpackRows(stateNumbersOf(name), rows, (key, state) => {
      // So may it here.
      if ((copiedAt[segmentOf(key, copiedAt.length)] as number) >= sequence) return;
      if (state) table.set(key, state);
      else table.delete(key);
    });
  }
}

export function named(tables: Map<string, CounterTable>, name: string): CounterTable {
  const table = tables.get(name) ?? newTable(name);
  tables.set(name, table);
  return table;
}

export function segmentFrom(table: string, rows: Uint8Array<ArrayBuffer>): Segment {
  // Of states of any length, it needs no room.
  const rowBytes = (1 + stateNumbersOf(table)) * Float64Array.BYTES_PER_ELEMENT;
  const segment = newSegment(table, rows.length / rowBytes);
  segment.addRows(rows);
  return segment;
}
