/**
 * What an owner has on disk: a log, and a head that says where it begins.
 *
 * Each checkpoint appends one entry: the rows that changed, and copies of the segments whose copies
 * are oldest, so that the oldest entries can go. So its cost follows the traffic, not the size of
 * the tables. It is written in one turn, which reaches the disk whole or not at all. Rows that must
 * be on disk before an answer leaves are appended at once.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import { isOperators } from "../../counters/table-name.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { Changes, type Tables } from "./changes.ts";
import { Copies } from "./copies.ts";
import {
  CRASH_MARK,
  decodeHead,
  encodeHead,
  encodeSections,
  HEAD,
  logKey,
  NEW_HEAD,
  PAGE,
  type Section,
} from "./format.ts";
import { type ReadStorage, readLog, type Written } from "./reader.ts";
import { isVersion4, readVersion4, removeVersion4, replaceVersion4 } from "./version-4.ts";

/** Nothing is copied while the log takes less: most owners are small, and write few bytes so. */
const SMALL_LOG_BYTES = 64_000;
/** A log entry counts as that much at least, so that a small log has few. */
const LEAST_ENTRY_BYTES = 2_000;
/** Else each checkpoint copies segments of this size in all, about. */
const COPY_BYTES = 20_000;
/**
 * It copies at least this many times the bytes that changed, so the log takes at most the size of the
 * tables once, and that divided by this once more.
 */
const COPY_SHARE = 1.5;
/** A log entry gets no more sections once it has that much: a value on disk may have 2 MB. */
const ENTRY_BYTES = 500_000;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;
/** An answer need not wait for the disk: a crash may lose one interval anyway. */
const UNCONFIRMED = { allowUnconfirmed: true };

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = ReadStorage &
  Pick<DurableObjectStorage, "put" | "delete" | "deleteAll">;

/** Values by their storage keys. */
type Entries = Record<string, Uint8Array<ArrayBuffer>>;

/** What reading the disk found, besides rows. */
export interface Found {
  /** Whether anything was damaged or missing. */
  isDamaged: boolean;
  /** Whether the owner crashed. */
  isCrash: boolean;
}

/** A checkpoint on its way to the disk. */
interface Plan {
  changes: Changes;
  /** Of its first log entry, and of the oldest that was needed before. */
  first: number;
  oldest: number;
}

export class Checkpoint {
  /** Whether all that is counted is on disk. A checkpoint on its way there may still fail. */
  hasAll = false;
  /** The head as the next checkpoint writes it. */
  head = { ...NEW_HEAD };
  readonly #storage: CheckpointStorage;
  #copies = new Copies();
  /** What is needed of the log, by its storage key: pages of an earlier release, too. */
  #written = new Map<string, Written>();
  /** Storage keys that nothing needs once the next checkpoint is on disk. */
  #obsolete = new Set<string>();
  /** Since the last checkpoint. */
  #changes = new Changes();
  #plan: Plan | undefined;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  get isEmpty(): boolean {
    return this.head.sequence === 0;
  }

  /** What changed since the last checkpoint will take in the log, bytes. */
  get changedBytes(): number {
    return this.#changes.bytes;
  }

  /**
   * Notes that a row was set or deleted.
   *
   * @param numbers how many numbers its state has, if that varies
   */
  change(table: string, key: KeyHash, numbers: () => number): void {
    this.hasAll = false;
    this.#changes.add(table, key, numbers);
  }

  /** Notes that a table is gone with all its rows. */
  drop(table: string): void {
    this.hasAll = false;
    this.#changes.drop(table);
  }

  /**
   * Reads what is on disk into empty tables.
   *
   * @throws {InvalidError} if it is of a version that can't be read
   */
  async read(tables: Map<string, CounterTable>): Promise<Found> {
    const storage = this.#storage;
    const isCrash = (await storage.get(CRASH_MARK)) !== undefined;
    if (await isVersion4(storage)) {
      const { clockMs, number } = await readVersion4(storage, tables);
      await replaceVersion4(storage, tables, { ...NEW_HEAD, clockMs, sequence: number });
      tables.clear();
    }
    await removeVersion4(storage);
    const value = await storage.get(HEAD);
    const found = decodeHead(value);
    const head = found ?? { ...NEW_HEAD };
    const read = await readLog(storage, tables, head.oldestLog);
    const isHeadLost = !found && (value !== undefined || read.hasHead);
    // The others were appended since.
    const counted = [...read.written.values()].filter((each) => each.sequence <= head.sequence);
    const isDamaged = read.isDamaged || isHeadLost || counted.length < head.pages + head.logs;
    this.#written = read.written;
    this.#obsolete = read.obsolete;
    // Pages may be older than any log entry.
    this.#copies.oldest = head.pages > 0 ? 0 : head.oldestLog;
    const sequence = Math.max(head.sequence, head.oldestLog, read.sequence);
    this.head = { ...head, sequence };
    return { isDamaged, isCrash };
  }

  /**
   * Writes what changed, in one turn.
   *
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async write(clockMs: number, tables: Tables): Promise<void> {
    // Whether the one before reaches the disk is not known: this one has all of it.
    this.#takeBack(tables);
    const { head } = this;
    const changes = this.#changes;
    this.#changes = new Changes();
    const plan = { changes, first: head.sequence + 1, oldest: this.#copies.oldest };
    const entries: Entries = {};
    if (!changes.isEmpty) {
      const copies = this.#copies.take(this.#copyBytes(changes, tables), tables, plan.first);
      const areAll = this.#copies.oldest === plan.first;
      this.#addLog(entries, areAll ? copies : [...changes.sections(tables, 1), ...copies]);
      // Where all tables went, nothing is added, and yet the next checkpoint is a later one.
      head.sequence = Math.max(head.sequence, plan.first);
    }
    const { oldest } = this.#copies;
    const freed: string[] = [];
    Object.assign(head, { clockMs, oldestLog: oldest, pages: 0, logs: 0 });
    for (const [key, { sequence }] of this.#written) {
      if (sequence < oldest) freed.push(key);
      else if (key.startsWith(PAGE)) head.pages++;
      else head.logs++;
    }
    const unneeded = [...this.#obsolete, ...freed];
    entries[HEAD] = encodeHead(head);
    this.#plan = plan;
    try {
      // No `await` between these calls: writes of one turn reach the disk together or not at all.
      await Promise.all(
        chunks(Object.entries(entries)).map((some) =>
          this.#storage.put(Object.fromEntries(some), UNCONFIRMED),
        ),
      );
    } catch (error) {
      if (this.#plan === plan) this.#takeBack(tables);
      throw error;
    }
    if (this.#plan !== plan) return;
    this.#plan = undefined;
    this.hasAll = this.#changes.isEmpty;
    for (const key of freed) this.#forget(key);
    await Promise.all(chunks(unneeded).map((keys) => this.#storage.delete(keys, UNCONFIRMED)));
    for (const key of unneeded) this.#obsolete.delete(key);
  }

  /**
   * Appends rows to the log. The runtime holds the answer back until they are on disk.
   *
   * @throws what the storage throws
   */
  async append(changes: Changes, tables: Tables): Promise<void> {
    const entries: Entries = {};
    this.#addLog(entries, changes.sections(tables, 0));
    // The next checkpoint has these rows, too.
    for (const key of Object.keys(entries)) this.#forget(key);
    await this.#storage.put(entries);
  }

  /** Says on disk that changes may be in memory alone. Answers wait until it is there. */
  async mark(): Promise<void> {
    await this.#storage.put({ [CRASH_MARK]: 1 });
  }

  /** Says on disk that all that is counted is there, too. */
  async unmark(): Promise<void> {
    await this.#storage.delete([CRASH_MARK], UNCONFIRMED);
  }

  /** Deletes all that is on disk, and the alarm with it. */
  async clear(): Promise<void> {
    const { lostMs, crashedMs } = this.head;
    this.head = { ...NEW_HEAD, lostMs, crashedMs };
    this.#copies = new Copies();
    this.#written.clear();
    this.#obsolete.clear();
    this.#changes = new Changes();
    this.#plan = undefined;
    await this.#storage.deleteAll();
  }

  #copyBytes({ bytes }: Changes, { size }: Tables): number {
    let logBytes = 0;
    for (const each of this.#written.values()) {
      logBytes += Math.max(LEAST_ENTRY_BYTES, each.bytes);
    }
    const isSmall = logBytes < SMALL_LOG_BYTES && this.head.pages === 0;
    return isSmall && size > 0 ? 0 : Math.max(COPY_BYTES, COPY_SHARE * bytes);
  }

  /**
   * Adds log entries. What operators set is in entries of its own: none of it gets lost with a
   * damaged count.
   */
  #addLog(entries: Entries, sections: Section[]): void {
    for (const part of [true, false]) {
      const some = sections.filter(({ table }) => isOperators(table) === part);
      while (some.length > 0) {
        let end = 0;
        for (let bytes = 0; end < some.length && bytes < ENTRY_BYTES; end++) {
          bytes += some[end]?.rows.length ?? 0;
        }
        const sequence = ++this.head.sequence;
        const value = encodeSections({ sequence, sections: some.splice(0, end) });
        entries[logKey(sequence)] = value;
        this.#written.set(logKey(sequence), { sequence, bytes: value.length });
      }
    }
  }

  /** Has a value deleted that may be on disk, once the next checkpoint is. */
  #forget(key: string): void {
    this.#written.delete(key);
    this.#obsolete.add(key);
  }

  /** Has the next checkpoint write what the one before it has not, for all that is known. */
  #takeBack(tables: Tables): void {
    if (!this.#plan) return;
    const { changes, first, oldest } = this.#plan;
    this.#plan = undefined;
    this.#changes.addEarlier(changes);
    this.#copies.takeBack(tables, first, oldest);
    for (const [key, { sequence }] of this.#written) if (sequence >= first) this.#forget(key);
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
