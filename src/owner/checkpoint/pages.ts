/**
 * Replaces what an earlier release left on disk by a log. The first releases of version 5 wrote
 * segments of tables as pages, each in place of the one before, and a log of what changed since.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import {
  COPIED,
  decodeHead,
  decodeSections,
  encodeHead,
  encodeSections,
  HEAD,
  type Head,
  logKey,
  NEW_HEAD,
  type Section,
} from "./format.ts";
import { named, type ReadStorage, readLog, scan, segmentFrom } from "./reader.ts";

/** Prefix of the storage keys of pages. They have the form of a log entry. */
export const PAGE = "page/";
/** A log entry gets no more than that, about. */
const ENTRY_BYTES = 500_000;

export type WriteStorage = ReadStorage & Pick<DurableObjectStorage, "put" | "delete">;

/** @returns whether a page was damaged */
export async function replacePages(storage: WriteStorage): Promise<boolean> {
  if ((await storage.list({ prefix: PAGE, limit: 1 })).size === 0) return false;
  const found = decodeHead(await storage.get(HEAD));
  let isDamaged = false;
  // Else they were replaced before, and only their removal was interrupted.
  if (found?.pages !== 0) {
    const head = found ?? NEW_HEAD;
    const tables = new Map<string, CounterTable>();
    const sequences = await readPages(storage, tables);
    const log = await readLog(storage, tables, head.oldestLog);
    isDamaged = log.isDamaged || sequences.length < head.pages;
    const sequence = Math.max(head.sequence, ...sequences, ...log.bytes.keys());
    // All that was lost was counted before that.
    const lostMs = isDamaged ? head.clockMs : head.lostMs;
    await replaceByLog(storage, tables, { ...head, lostMs, sequence, pages: 0 });
  }
  await removeAll(storage, [PAGE]);
  return isDamaged;
}

/** Writes tables as log entries and a head, one at a time. They count once the head is there. */
export async function replaceByLog(
  storage: WriteStorage,
  tables: ReadonlyMap<string, CounterTable>,
  head: Head,
): Promise<void> {
  const first = head.sequence + 1;
  let { sequence } = head;
  let sections: Section[] = [];
  let bytes = 0;
  const write = async () => {
    if (sections.length === 0) return;
    sequence++;
    await storage.put({ [logKey(sequence)]: encodeSections({ sequence, sections }) });
    sections = [];
    bytes = 0;
  };
  for (const [table, { segments }] of tables) {
    for (const [at, segment] of segments.entries()) {
      const rows = segment.toRows();
      sections.push({ table, index: COPIED + at, count: segments.length, rows });
      bytes += rows.length;
      if (bytes >= ENTRY_BYTES) await write();
    }
  }
  await write();
  const logs = sequence + 1 - first;
  await storage.put({ [HEAD]: encodeHead({ ...head, sequence, oldestLog: first, logs }) });
}

export async function removeAll(storage: WriteStorage, prefixes: readonly string[]): Promise<void> {
  for (const prefix of prefixes) {
    for await (const [key] of scan(storage, prefix)) await storage.delete([key]);
  }
}

/** @returns at which sequence each page was written that is whole */
async function readPages(
  storage: ReadStorage,
  tables: Map<string, CounterTable>,
): Promise<number[]> {
  const pages: { sequence: number; place: () => void }[] = [];
  for await (const [, value] of scan(storage, PAGE)) {
    const { sequence, sections } = decodeSections(value) ?? { sequence: 0, sections: [] };
    for (const { table, index, count, rows } of sections) {
      const segment = segmentFrom(table, rows);
      const place = () => named(tables, table).place(segment, index, count, sequence);
      pages.push({ sequence, place });
    }
  }
  // They come in the order of their keys, and count in the order in which they were written.
  pages.sort((one, other) => one.sequence - other.sequence);
  for (const { place } of pages) place();
  return pages.map(({ sequence }) => sequence);
}
