/**
 * What an owner has on disk: pages, a log, and a head.
 *
 * Each checkpoint rewrites the pages that are dirty for longest, appends the changed rows to the log
 * unless the pages have them all, and deletes the log entries that no page needs. So its cost
 * follows the traffic, not the size of the tables. It is written in one turn, which reaches the disk
 * whole or not at all. Rows that must be on disk before an answer leaves are appended to the same
 * log at once.
 */
import type { KeyHash } from "../../ring/key-hash.ts";
import { Changes, type Tables } from "./changes.ts";
import {
  CRASH_MARK,
  decodeHead,
  encodeHead,
  encodeSections,
  HEAD,
  logKey,
  NEW_HEAD,
} from "./format.ts";
import { type Page, Pages, sectionsOf } from "./pages.ts";
import { type ReadStorage, readPages, type Target } from "./reader.ts";
import { isVersion4, readVersion4, removeVersion4, replaceVersion4 } from "./version-4.ts";

/** Each checkpoint rewrites pages of this size in all, about. */
const PAGE_BYTES = 20_000;
/**
 * It writes at least this many times the bytes that changed, so the log takes at most the size of the
 * tables divided by this.
 */
const PAGE_SHARE = 1.5;
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
  pages: readonly Page[];
  logs: readonly number[];
}

export class Checkpoint {
  /** Whether all that is counted is on disk. A checkpoint on its way there may still fail. */
  hasAll = false;
  /** The head as the next checkpoint writes it. */
  head = { ...NEW_HEAD };
  readonly #storage: CheckpointStorage;
  #pages = new Pages();
  /** Sequences of the log entries that pages on disk need. */
  #logs: number[] = [];
  /** Since the last checkpoint. */
  #changes = new Changes();
  /** Storage keys of log entries that were appended since: the next checkpoint has their rows. */
  #appended: string[] = [];
  #plan: Plan | undefined;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  get isEmpty(): boolean {
    return this.#pages.onDisk.size === 0 && this.#logs.length === 0 && this.head.sequence === 0;
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
    this.#pages.drop(table, this.head.sequence + 1);
  }

  /**
   * Reads what is on disk into empty tables.
   *
   * @throws {InvalidError} if it is of a version that can't be read
   */
  async read(tables: Target["tables"]): Promise<Found> {
    const storage = this.#storage;
    const target = { tables, pages: this.#pages };
    const isCrash = (await storage.get(CRASH_MARK)) !== undefined;
    if (await isVersion4(storage)) {
      const { clockMs, number } = await readVersion4(storage, tables);
      this.head = { ...NEW_HEAD, clockMs, sequence: number };
      await replaceVersion4(storage, target, this.head);
      return { isDamaged: false, isCrash };
    }
    await removeVersion4(storage);
    const value = await storage.get(HEAD);
    const head = decodeHead(value);
    const { pages, logs, oldestLog, sequence } = head ?? NEW_HEAD;
    const read = await readPages(storage, target, oldestLog);
    this.#logs = read.logs;
    this.head = { ...(head ?? NEW_HEAD), sequence: Math.max(sequence, read.sequence) };
    // Without a head there are only log entries that were appended before the first checkpoint.
    const isHeadLost = !head && (value !== undefined || read.pages > 0);
    const isLess = read.pages < pages || read.logs.filter((log) => log <= sequence).length < logs;
    return { isDamaged: isHeadLost || isLess || read.isDamaged, isCrash };
  }

  /**
   * Writes what changed, in one turn.
   *
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async write(clockMs: number, tables: Tables): Promise<void> {
    // Whether the one before reaches the disk is not known: this one has all of it.
    this.#takeBack();
    const { head } = this;
    const changes = this.#changes;
    this.#changes = new Changes();
    const first = head.sequence + 1;
    this.#pages.change(changes, tables, first);
    const bytes = changes.isEmpty ? 0 : Math.max(PAGE_BYTES, PAGE_SHARE * changes.bytes);
    const pages = this.#pages.choose(bytes, tables, first);
    const { dirtySince, obsolete } = this.#pages;
    // If this is cut off before pages are deleted, the log still tells that their table was dropped.
    const isLogged = dirtySince <= first || (changes.dropped.size > 0 && obsolete.size > 0);
    const entries: Entries = {};
    const logs = isLogged ? this.#addLog(entries, changes, tables) : [];
    const all = [...this.#logs, ...logs];
    this.#logs = all.filter((log) => log >= dirtySince);
    for (const log of all) if (log < dirtySince) obsolete.add(logKey(log));
    for (const key of this.#appended) obsolete.add(key);
    this.#appended = [];
    head.clockMs = clockMs;
    head.sequence = Math.max(first, head.sequence);
    head.pages = this.#pages.onDisk.size;
    head.oldestLog = Math.min(dirtySince, first);
    head.logs = this.#logs.length;
    for (const page of pages) {
      const sections = sectionsOf(page, tables);
      entries[page.key] = encodeSections({ sequence: head.sequence, sections });
    }
    entries[HEAD] = encodeHead(head);
    const unneeded = [...obsolete];
    const plan: Plan = { changes, pages, logs };
    this.#plan = plan;
    try {
      // No `await` between these calls: writes of one turn reach the disk together or not at all.
      await Promise.all(
        chunks(Object.entries(entries)).map((some) =>
          this.#storage.put(Object.fromEntries(some), UNCONFIRMED),
        ),
      );
    } catch (error) {
      if (this.#plan === plan) this.#takeBack();
      throw error;
    }
    if (this.#plan !== plan) return;
    this.#plan = undefined;
    this.hasAll = this.#changes.isEmpty;
    await Promise.all(chunks(unneeded).map((keys) => this.#storage.delete(keys, UNCONFIRMED)));
    for (const key of unneeded) obsolete.delete(key);
  }

  /**
   * Appends rows to the log. The runtime holds the answer back until they are on disk.
   *
   * @throws what the storage throws
   */
  async append(changes: Changes, tables: Tables): Promise<void> {
    const entries: Entries = {};
    this.#addLog(entries, changes, tables);
    // Kept in the list if it fails: it may have been written.
    this.#appended.push(...Object.keys(entries));
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
    this.#pages = new Pages();
    this.#plan = undefined;
    this.#logs = [];
    this.#appended = [];
    this.#changes = new Changes();
    await this.#storage.deleteAll();
  }

  /** Adds log entries of these changes, and returns their sequences. */
  #addLog(entries: Entries, changes: Changes, tables: Tables): number[] {
    return changes.entries(tables).map((sections) => {
      const sequence = ++this.head.sequence;
      entries[logKey(sequence)] = encodeSections({ sequence, sections });
      return sequence;
    });
  }

  /** Has the next checkpoint write what the one before it has not, for all that is known. */
  #takeBack(): void {
    if (!this.#plan) return;
    const { changes, pages, logs } = this.#plan;
    this.#plan = undefined;
    this.#changes.addEarlier(changes);
    for (const page of pages) this.#pages.due.add(page);
    for (const log of logs) this.#pages.obsolete.add(logKey(log));
    this.#logs = this.#logs.filter((log) => !logs.includes(log));
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
