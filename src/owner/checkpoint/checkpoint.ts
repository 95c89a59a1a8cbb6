/**
 * What an owner has on disk: a log, and a head that says where it begins.
 *
 * Each checkpoint writes one log entry: the rows that changed, and now and then copies of the
 * segments whose copies are oldest, so that the oldest entries can go. So its cost follows the
 * traffic, not the size of the tables. While the last entry is small, the next checkpoint puts it
 * again with what changed since: that writes one row, and a new entry two, since it is deleted
 * later. An entry keeps its changes until it is on disk, so a failed write leaves nothing to undo.
 */
import type { CounterTable } from "../../counters/counter-table.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { Changes, type Tables } from "./changes.ts";
import { Copies, type Copy } from "./copies.ts";
import { Entry } from "./entry.ts";
import {
  CRASH_MARK,
  decodeHead,
  encodeHead,
  HEAD,
  logKey,
  NEW_HEAD,
  type Section,
} from "./format.ts";
import { replacePages } from "./pages.ts";
import { type ReadStorage, readLog } from "./reader.ts";
import { replaceVersion4 } from "./version-4.ts";

/** Nothing is copied while the log takes less: most owners are small, and write few bytes so. */
const SMALL_LOG_BYTES = 64_000;
/** A log entry counts as that much at least, so that a log of small ones has few. */
const LEAST_ENTRY_BYTES = 2_000;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;
/** An answer need not wait for the disk: a crash may lose one interval anyway. */
const UNCONFIRMED = { allowUnconfirmed: true };

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

export class Checkpoint {
  /** The head as the next checkpoint writes it. */
  head = { ...NEW_HEAD };
  readonly #storage: CheckpointStorage;
  #copies = new Copies();
  /**
   * Bytes of the log's values, by sequence; 0 if none is needed once the next checkpoint is there.
   */
  #log = new Map<number, number>();
  /** Since the last checkpoint. */
  #changes = new Changes();
  /** Of the last checkpoint. */
  #entry = new Entry();
  /** Counts checkpoints: each has all that those before it were to write. */
  #nth = 0;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  get isEmpty(): boolean {
    return this.head.sequence === 0;
  }

  /** Whether all that is counted is on disk. A checkpoint on its way there may still fail. */
  get hasAll(): boolean {
    return this.#changes.isEmpty && this.#entry.isWritten;
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
    this.#changes.add(table, key, numbers);
  }

  /** Notes that a table is gone with all its rows. */
  drop(table: string): void {
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
    await replaceVersion4(storage);
    const isPageDamaged = await replacePages(storage);
    const value = await storage.get(HEAD);
    const found = decodeHead(value);
    const head = found ?? NEW_HEAD;
    const log = await readLog(storage, tables, head.oldestLog);
    const isHeadLost = !found && (value !== undefined || log.hasHead);
    // The others were appended since.
    const counted = [...log.bytes].filter(([at, bytes]) => at <= head.sequence && bytes > 0);
    const isMissing = counted.length < head.logs;
    this.#log = log.bytes;
    this.#copies.begin(head.oldestLog);
    const sequence = Math.max(head.sequence, head.oldestLog, ...log.bytes.keys());
    this.head = { ...head, sequence };
    return { isDamaged: isPageDamaged || log.isDamaged || isHeadLost || isMissing, isCrash };
  }

  /**
   * Writes what changed, in one turn.
   *
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async write(clockMs: number, tables: Tables): Promise<void> {
    const { head } = this;
    const values: Values = {};
    const copies = this.#addChanges(values, tables);
    const entry = this.#entry;
    const { oldest } = this.#copies;
    const unneeded = [...this.#log]
      .filter(([sequence, bytes]) => sequence < oldest || bytes === 0)
      .map(([sequence]) => sequence);
    Object.assign(head, { clockMs, oldestLog: oldest, logs: this.#log.size - unneeded.length });
    values[HEAD] = encodeHead(head);
    const nth = ++this.#nth;
    // No `await` between these calls: writes of one turn reach the disk together or not at all.
    const puts = chunks(Object.entries(values)).map((some) =>
      this.#storage.put(Object.fromEntries(some), UNCONFIRMED),
    );
    await Promise.all(puts);
    if (this.#nth !== nth) return;
    entry.isWritten = true;
    this.#copies.confirm(copies, tables, entry.sequences[0] ?? 0);
    for (const sequence of unneeded) this.#log.delete(sequence);
    const deletes = chunks(unneeded.map(logKey)).map((keys) =>
      this.#storage.delete(keys, UNCONFIRMED),
    );
    await Promise.all(deletes);
  }

  /**
   * Appends rows to the log. The runtime holds the answer back until they are on disk.
   *
   * @throws what the storage throws
   */
  async append(changes: Changes, tables: Tables): Promise<void> {
    const values: Values = {};
    // Not put again: its rows may have changed since, and others with them that are not on disk.
    const entry = new Entry();
    this.#add(values, entry, changes.sections(tables, 0));
    // The next checkpoint has these rows, too.
    for (const sequence of entry.sequences) this.#log.set(sequence, 0);
    await this.#storage.put(values);
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
    this.#log.clear();
    this.#changes = new Changes();
    this.#entry = new Entry();
    this.#nth++;
    await this.#storage.deleteAll();
  }

  /** Adds the log entry with what changed, and returns the copies in it. */
  #addChanges(values: Values, tables: Tables): Copy[] {
    const { head } = this;
    const before = this.#entry;
    if (before.isWritten && this.#changes.isEmpty) return [];
    const isOver = before.isFull || before.sequences[0] !== head.sequence;
    if (before.isWritten && isOver) this.#entry = new Entry();
    const entry = this.#entry;
    entry.isWritten = false;
    entry.changes = entry.changes.with(this.#changes);
    this.#changes = new Changes();
    if (tables.size === 0) {
      // Nothing of the log is needed, and later entries come after all of it.
      this.#copies.begin(++head.sequence);
      this.#entry = new Entry();
      return [];
    }
    const changed = entry.changes.sections(tables, 1);
    const changedBytes = changed.reduce((sum, { rows }) => sum + rows.length, LEAST_ENTRY_BYTES);
    const grown = changedBytes - entry.changedBytes;
    const copies = this.#isSmall ? [] : this.#copies.take(grown, tables, head.sequence);
    entry.changedBytes = changedBytes;
    this.#add(values, entry, [...changed, ...copies]);
    // If it were put again, it would lack these copies.
    entry.isFull ||= copies.length > 0;
    return copies;
  }

  get #isSmall(): boolean {
    let logBytes = 0;
    for (const bytes of this.#log.values()) logBytes += Math.max(LEAST_ENTRY_BYTES, bytes);
    return logBytes < SMALL_LOG_BYTES;
  }

  #add(values: Values, entry: Entry, sections: readonly Section[]): void {
    for (const sequence of entry.sequences) this.#log.set(sequence, 0);
    for (const [sequence, value] of entry.encode(sections, this.head.sequence)) {
      this.head.sequence = sequence;
      this.#log.set(sequence, value.length);
      values[logKey(sequence)] = value;
    }
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
