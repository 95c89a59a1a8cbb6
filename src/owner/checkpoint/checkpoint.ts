/**
 * What an owner has on disk: a log, and a head that says where it begins.
 *
 * Each checkpoint writes the rows that changed as one log entry. Now and then it adds copies of the
 * segments whose copies are oldest, so that the oldest entries can go. So its cost follows the
 * traffic, not the size of the tables. While the last entry is small, the next checkpoint puts it
 * again with the later changes: that writes one row, where a new entry costs two, its deletion
 * included. An entry keeps its changes until it is on disk, so a failed write leaves nothing to
 * undo.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import { Changes, type Tables } from "./changes.ts";
import { Copies, type Copy } from "./copies.ts";
import {
  bytesOf,
  CRASH_MARK,
  decodeHead,
  encodeHead,
  encodeSections,
  HEAD,
  logKey,
  NEW_HEAD,
  split,
  sumOf,
} from "./format.ts";
import { replacePages } from "./pages.ts";
import { type Log, type ReadStorage, readLog } from "./reader.ts";
import { replaceVersion4 } from "./version-4.ts";

/** While the log takes less, no segment is copied: a small owner, the most common, writes less. */
const SMALL_LOG_BYTES = 64_000;
/** The least that a log value counts for, so that a log of small values does not get many. */
const LEAST_VALUE_BYTES = 2_000;
/** An entry with more bytes is not put again. */
const MOST_PUT_AGAIN_BYTES = 18_000;
/** The same if an answer waits for the write: it writes less, for a few rows more. */
const MOST_AWAITED_BYTES = 6_000;
/**
 * The most values that a checkpoint deletes: a sixteenth of the log becomes unneeded at once, and
 * to delete all that would hold up the checks. The next checkpoints delete the rest.
 */
const MOST_DELETED = 4;
/** The most keys that one `delete` takes. */
const MAX_DELETED_KEYS = 128;
/** Lets answers leave before the runtime has confirmed the write. */
export const UNCONFIRMED = { allowUnconfirmed: true };

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = ReadStorage &
  Pick<DurableObjectStorage, "put" | "delete" | "deleteAll">;

/** Values by their storage keys. */
type Values = Record<string, Uint8Array<ArrayBuffer>>;

/** What reading the disk found, besides rows. */
export interface Found {
  /** Whether anything was damaged or missing. */
  isDamaged: boolean;
  /** Whether the owner crashed. */
  isCrash: boolean;
}

/** A log entry. It has several values if it is large, or if operators set some of it. */
class Entry {
  changes = new Changes();
  /** Bytes that the changes take. */
  bytes = 0;
  /** The sequences of its values. Later changes may add some, and leave others empty. */
  sequences: number[] = [];
  /** Whether later changes need another entry. */
  isFull = false;
  isWritten = true;
}

export class Checkpoint {
  /** The head as the next checkpoint writes it. */
  readonly head = { ...NEW_HEAD };
  /** What was set or deleted since the last checkpoint. */
  changes = new Changes();
  readonly #storage: CheckpointStorage;
  readonly #copies = new Copies();
  /** The log values that are needed. */
  #log: Log["values"] = new Map();
  /** Sequences of values that are not needed once the next checkpoint is there. */
  #unneeded: number[] = [];
  #entry = new Entry();
  /** The number of checkpoints. Each also has what an earlier one was to write, if that failed. */
  #nth = 0;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  /** Whether all that is counted is on disk. A checkpoint on its way there may still fail. */
  get hasAll(): boolean {
    return this.changes.isEmpty && this.#entry.isWritten;
  }

  /**
   * Reads what is on disk into empty tables.
   *
   * @throws {InvalidError} if it is of a version that can't be read
   */
  async read(tables: Map<string, CounterTable>): Promise<Found> {
    const storage = this.#storage;
    const isCrash = (await storage.get(CRASH_MARK)) !== undefined;
    await replaceVersion4(storage);
    await replacePages(storage);
    const value = await storage.get(HEAD);
    const head = decodeHead(value);
    Object.assign(this.head, head);
    const { oldestLog, sequence, logs, sums } = this.head;
    const { isDamaged, values, unneeded } = await readLog(storage, tables, this.head);
    const isHeadLost = !head && (value !== undefined || values.size > 0);
    // Earlier releases appended values that the head did not count.
    const isMissing = [...values.keys()].filter((at) => at <= sequence).length < logs;
    this.#log = values;
    this.head.sums = 0;
    for (const { sum } of values.values()) this.head.sums ^= sum;
    const isReplaced = sums !== 0 && sums !== this.head.sums;
    this.#unneeded = unneeded;
    this.#copies.begin(oldestLog);
    // A new value must not take the key of one that is to be deleted.
    this.head.sequence = Math.max(sequence, oldestLog, ...values.keys(), ...unneeded);
    return { isDamaged: isDamaged || isHeadLost || isMissing || isReplaced, isCrash };
  }

  /**
   * Writes what changed, in one turn.
   *
   * @param isAwaited whether an answer waits until it is on disk
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async write(clockMs: number, tables: Tables, isAwaited: boolean): Promise<void> {
    const { head } = this;
    const values: Values = {};
    const mostBytes = isAwaited ? MOST_AWAITED_BYTES : MOST_PUT_AGAIN_BYTES;
    const copies = this.hasAll ? [] : this.#addEntry(values, tables, mostBytes);
    const { oldest } = this.#copies;
    for (const sequence of this.#log.keys()) {
      if (sequence >= oldest) break;
      this.#free(sequence);
    }
    Object.assign(head, { clockMs, oldestLog: oldest, logs: this.#log.size });
    values[HEAD] = encodeHead(head);
    const nth = ++this.#nth;
    await this.#storage.put(values, isAwaited ? {} : UNCONFIRMED);
    if (this.#nth !== nth) return;
    this.#entry.isWritten = true;
    this.#copies.confirm(copies, tables, this.#entry.sequences[0] ?? 0);
    // An owner that counts nothing has no checks to hold up, and no checkpoint may follow.
    const most = tables.size === 0 ? this.#unneeded.length : MOST_DELETED;
    const keys = this.#unneeded.splice(0, most).map(logKey);
    const deletes: Promise<unknown>[] = [];
    while (keys.length > 0)
      deletes.push(this.#storage.delete(keys.splice(0, MAX_DELETED_KEYS), UNCONFIRMED));
    await Promise.all(deletes);
  }

  /** Deletes all that is on disk, and the alarm with it. */
  async clear(): Promise<void> {
    this.#begin();
    this.#unneeded = [];
    this.#nth++;
    await this.#storage.deleteAll();
  }

  /** Begins the log anew: nothing of it is needed. */
  #begin(): void {
    for (const sequence of this.#log.keys()) this.#free(sequence);
    this.#copies.begin(++this.head.sequence);
    this.changes = new Changes();
    this.#entry = new Entry();
  }

  /**
   * Adds the log entry with what changed, and returns the copies in it.
   *
   * @param mostBytes that the last entry may have to be put again
   */
  #addEntry(values: Values, tables: Tables, mostBytes: number): Copy[] {
    const { head } = this;
    const { isWritten, isFull, bytes: lastBytes } = this.#entry;
    if (tables.size === 0) this.#begin();
    else if (isWritten && (isFull || lastBytes > mostBytes)) this.#entry = new Entry();
    const entry = this.#entry;
    entry.isWritten = false;
    entry.changes = entry.changes.with(this.changes);
    this.changes = new Changes();
    const sections = entry.changes.sections(tables);
    const bytes = sections.reduce((sum, each) => sum + bytesOf(each), LEAST_VALUE_BYTES);
    const copies = this.#isSmall
      ? []
      : this.#copies.take(bytes - entry.bytes, tables, head.sequence);
    const parts = split([...sections, ...copies]);
    while (entry.sequences.length < parts.length) entry.sequences.push(++head.sequence);
    for (const [nth, sequence] of entry.sequences.entries()) {
      const value = encodeSections({ sequence, sections: parts[nth] ?? [] });
      const sum = sumOf(value);
      head.sums ^= sum ^ (this.#log.get(sequence)?.sum ?? 0);
      this.#log.set(sequence, { bytes: value.length, sum });
      values[logKey(sequence)] = value;
    }
    entry.bytes = bytes;
    // An entry that is put again would lack these copies.
    entry.isFull = parts.length > 1 || copies.length > 0;
    return copies;
  }

  #free(sequence: number): void {
    this.head.sums ^= this.#log.get(sequence)?.sum ?? 0;
    this.#log.delete(sequence);
    this.#unneeded.push(sequence);
  }

  get #isSmall(): boolean {
    let logBytes = 0;
    for (const { bytes } of this.#log.values()) {
      logBytes += Math.max(LEAST_VALUE_BYTES, bytes);
      if (logBytes >= SMALL_LOG_BYTES) return false;
    }
    return true;
  }
}
