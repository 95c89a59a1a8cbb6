/**
 * An owner's storage that counts what is written to it. Only the deployed Worker uses it.
 *
 * It measures no time, since the clock of an object stands still while code runs. The amounts show
 * how much work checkpoints are, how often answers wait for the disk, and what Cloudflare bills.
 */
import { CRASH_MARK, HEAD } from "./checkpoint/format.ts";
import type { OwnerStorage } from "./stored-counters.ts";

/** The least time between two reports while an owner goes on writing: each costs a call. */
const REPORT_INTERVAL_MS = 10_000;

/**
 * Why something was written: as a checkpoint, or because an answer waits for it, such as a durable
 * count, a ring or a crash mark.
 */
export type Writer = "checkpoint" | "awaited";

/** What has reached the storage since the last report. */
export interface Written {
  writes: number;
  /** Rows that were put or deleted. */
  rows: number;
  /** Bytes of the counts that were put. */
  bytes: number;
}

export type OnWritten = (writer: Writer, written: Written) => void;

export type MeteredStorage = OwnerStorage & Pick<DurableObjectStorage, "get" | "put">;

/** @param onWritten called every 10 s while an owner writes, and once more when it stops */
export function meteredStorage(
  storage: MeteredStorage,
  now: () => number,
  onWritten: OnWritten,
): MeteredStorage {
  let written = new Map<Writer, Written>();
  let reportedMs = Number.NaN;

  function note(writer: Writer, writes: number, rows: number, bytes: number, rests: boolean): void {
    const sum = written.get(writer) ?? { writes: 0, rows: 0, bytes: 0 };
    sum.writes += writes;
    sum.rows += rows;
    sum.bytes += bytes;
    written.set(writer, sum);
    const nowMs = now();
    if (written.size === 1 && Number.isNaN(reportedMs)) reportedMs = nowMs;
    if (!rests && nowMs - reportedMs < REPORT_INTERVAL_MS) return;
    reportedMs = rests ? Number.NaN : nowMs;
    const all = written;
    written = new Map();
    for (const [each, amounts] of all) onWritten(each, amounts);
  }

  return {
    get: storage.get.bind(storage),
    list: storage.list.bind(storage),
    deleteAll: (options) => storage.deleteAll(options),
    getAlarm: (options) => storage.getAlarm(options),
    setAlarm: (time, options) => storage.setAlarm(time, options),
    sync: () => storage.sync(),
    async put(entries: Record<string, unknown>, options?: DurableObjectPutOptions) {
      await storage.put(entries, options);
      const isAwaited = !options?.allowUnconfirmed;
      const values = Object.values(entries);
      let bytes = 0;
      for (const value of values) if (ArrayBuffer.isView(value)) bytes += value.byteLength;
      // A checkpoint is the put with the head. A ring written again is no write of its own.
      const writes = Number(isAwaited || HEAD in entries);
      note(isAwaited ? "awaited" : "checkpoint", writes, values.length, bytes, false);
    },
    async delete(keys: string[], options?: DurableObjectPutOptions) {
      const deleted = await storage.delete(keys, options);
      note("checkpoint", 0, keys.length, 0, keys.includes(CRASH_MARK));
      return deleted;
    },
  } as MeteredStorage;
}
