/**
 * Replaces what an earlier release left on disk with a log. The first releases of version 5 wrote
 * each segment of a table as a page, over its earlier page, and a log of what changed since.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import {
  bytesOf,
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
/** About the most bytes of a log entry. */
const ENTRY_BYTES = 500_000;

export type WriteStorage = ReadStorage & Pick<DurableObjectStorage, "put" | "delete">;

/** Replaces the pages, if there are any. */
export async function replacePages(storage: WriteStorage): Promise<void> {
  const found = decodeHead(await storage.get(HEAD));
  const hasPages = (await storage.list({ prefix: PAGE, limit: 1 })).size > 0;
  if (!hasPages && !found?.pages) return;
  // A head that counts no pages has replaced them: only their removal was interrupted.
  if (found?.pages !== 0) {
    const head = found ?? NEW_HEAD;
    const tables = new Map<string, CounterTable>();
    const { pages, isLess } = await readPages(storage, tables, head.pages);
    let placed = 0;
    const placeBefore = (sequence: number) => {
      for (; (pages[placed]?.sequence ?? sequence) < sequence; placed++) pages[placed]?.place();
    };
    // A page has all that was logged until it was written.
    const log = await readLog(storage, tables, head, placeBefore);
    placeBefore(Number.POSITIVE_INFINITY);
    const sequence = Math.max(
      head.sequence,
      pages.at(-1)?.sequence ?? 0,
      ...log.values.keys(),
      ...log.unneeded,
    );
    const isDamaged = !found || isLess || log.isDamaged;
    await replaceByLog(storage, tables, { ...head, sequence, pages: 0 }, isDamaged);
  }
  await removeAll(storage, [PAGE]);
}

/**
 * Writes tables as log entries, one at a time, and then the head that makes them count.
 *
 * @param isDamaged whether what was replaced had lost anything
 */
export async function replaceByLog(
  storage: WriteStorage,
  tables: ReadonlyMap<string, CounterTable>,
  head: Head,
  isDamaged = false,
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
      const section = { table, index: COPIED + at, count: segments.length, rows };
      sections.push(section);
      bytes += bytesOf(section);
      if (bytes >= ENTRY_BYTES) await write();
    }
  }
  await write();
  // After damage the head counts one value too many. So each start finds a loss until the first
  // checkpoint has noted it.
  const logs = sequence + 1 - first + (isDamaged ? 1 : 0);
  await storage.put({ [HEAD]: encodeHead({ ...head, sequence, oldestLog: first, logs, sums: 0 }) });
}

export async function removeAll(storage: WriteStorage, prefixes: readonly string[]): Promise<void> {
  for (const prefix of prefixes) {
    for await (const [key] of scan(storage, prefix)) await storage.delete([key]);
  }
}

/** Reads pages in the order in which they were written, which is not that of their keys. */
async function readPages(storage: ReadStorage, tables: Map<string, CounterTable>, count: number) {
  const pages: { sequence: number; place: () => void }[] = [];
  let whole = 0;
  for await (const [, value] of scan(storage, PAGE)) {
    const page = decodeSections(value);
    if (!page) continue;
    whole++;
    const { sequence } = page;
    for (const { table, index, count: segments, rows } of page.sections) {
      const segment = segmentFrom(table, rows);
      const place = () => named(tables, table).place(segment, index, segments, sequence);
      pages.push({ sequence, place });
    }
  }
  pages.sort((one, other) => one.sequence - other.sequence);
  return { pages, isLess: whole < count };
}
