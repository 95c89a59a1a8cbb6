/**
 * What an owner has on disk: pages, a log, and a head.
 *
 * Each checkpoint rewrites the pages that are dirty for longest, appends the changed rows of all
 * other pages to the log, and deletes the log entries that no page needs. So its cost follows the traffic, not the
 * size of the tables. It is written in one turn, which reaches the disk whole or not at all. Rows
 * that must be on disk before an answer leaves are appended to the same log at once.
 */
import type { Row } from "../../counters/segment.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { Changes } from "./changes.ts";
import {
  CRASH_MARK,
  decodeHead,
  encodeHead,
  encodeSections,
  HEAD,
  type Head,
  logKey,
  NEW_HEAD,
} from "./format.ts";
import { entriesOfRows, logEntries } from "./log-entries.ts";
import { type Page, Pages, sectionsOf, type Tables, UNLOGGED } from "./pages.ts";
import { type ReadStorage, readPages, type Target } from "./reader.ts";
import { isVersion4, readVersion4, removeVersion4, replaceVersion4 } from "./version-4.ts";

/** Each checkpoint rewrites pages of this size in all, or of twice what changed. */
const PAGE_BYTES = 40_000;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;
/** An answer need not wait for the disk: a crash may lose one interval anyway. */
const UNCONFIRMED = { allowUnconfirmed: true };

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = ReadStorage &
  Pick<DurableObjectStorage, "put" | "delete" | "deleteAll">;

/** Where a row is. */
export interface Place {
  table: string;
  key: KeyHash;
}

/** A checkpoint on its way to the disk. */
interface Plan {
  changes: Changes;
  /** Each with the sequence since when it was dirty. */
  pages: Map<Page, number>;
  logs: number[];
  /** Log entries that were appended before: this checkpoint has what is in them. */
  appended: number[];
  /** The highest sequence of its log entries, and that of its pages. */
  sequence: number;
}

export class Checkpoint {
  readonly #storage: CheckpointStorage;
  readonly #pages = new Pages();
  #head: Head = { ...NEW_HEAD };
  /** Sequences of the log entries on disk. */
  #logs: number[] = [];
  /** Those of them that the next checkpoint makes obsolete. */
  #appended: number[] = [];
  /** Since the last checkpoint. */
  #changes = new Changes();
  readonly #plans = new Set<Plan>();
  /** Whether the head is on disk as it is here. */
  #isWritten = false;
  /** Storage keys of another version, and of damaged values. */
  readonly #obsolete = new Set<string>();

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  get isEmpty(): boolean {
    return this.#pages.onDisk.size === 0 && this.#logs.length === 0 && this.#head.sequence === 0;
  }

  /** Whether all that is counted is on disk: a checkpoint on its way there may still fail. */
  get hasAll(): boolean {
    return this.#isWritten && this.#changes.isEmpty && this.#plans.size === 0;
  }

  /** What changed since the last checkpoint will take in the log, bytes. */
  get changedBytes(): number {
    return this.#changes.bytes;
  }

  /** The head as the next checkpoint writes it. */
  get head(): Head {
    return this.#head;
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
    this.#pages.drop(table, this.#head.sequence + 1);
  }

  /**
   * Reads what is on disk into empty tables.
   *
   * @returns whether anything was damaged or missing, and whether the owner crashed
   * @throws {InvalidError} if it is of a version that can't be read
   */
  async read(tables: Target["tables"]): Promise<{ isDamaged: boolean; isCrash: boolean }> {
    const storage = this.#storage;
    const isCrash = (await storage.get(CRASH_MARK)) !== undefined;
    if (await isVersion4(storage)) {
      const { clockMs, number } = await readVersion4(storage, tables);
      this.#head = { ...NEW_HEAD, clockMs, sequence: number };
      for (const [name, table] of tables) this.#pages.reconcile(name, table, UNLOGGED);
      await replaceVersion4(storage, this.#pages, tables, this.#head);
      return { isDamaged: false, isCrash };
    }
    await removeVersion4(storage);
    const value = await storage.get(HEAD);
    const head = decodeHead(value);
    const read = await readPages(storage, { tables, pages: this.#pages });
    this.#logs = read.logs;
    this.#head = { ...(head ?? NEW_HEAD) };
    this.#head.sequence = Math.max(this.#head.sequence, read.sequence);
    for (const key of read.damaged) this.#pages.obsolete.add(key);
    const { pages = 0, logs = 0, oldestLog = 0, sequence = 0 } = head ?? {};
    const found = read.logs.filter((each) => each >= oldestLog && each <= sequence).length;
    // Without a head there are only log entries that were appended before the first checkpoint.
    const isHeadLost = !head && (value !== undefined || read.pages > 0);
    const isLess = read.pages < pages || found < logs;
    const isDamaged = isHeadLost || isLess || read.lacks || read.damaged.length > 0;
    return { isDamaged, isCrash };
  }

  /**
   * Writes what changed, in one turn.
   *
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async write(clockMs: number, tables: Tables): Promise<void> {
    const first = this.#head.sequence + 1;
    const plan: Plan = {
      changes: this.#changes,
      pages: new Map(),
      logs: [],
      appended: this.#appended,
      sequence: first,
    };
    this.#changes = new Changes();
    this.#appended = [];
    const rows = this.#pages.dirtyWith(plan.changes.keys, tables, first);
    const pageBytes = plan.changes.isEmpty ? 0 : Math.max(PAGE_BYTES, 2 * plan.changes.bytes);
    plan.pages = this.#pages.choose(pageBytes, tables, first);
    const entries: [string, Uint8Array<ArrayBuffer>][] = [];
    for (const sections of logEntries(plan.changes.dropped, plan.pages, rows, tables)) {
      const sequence = first + plan.logs.length;
      plan.logs.push(sequence);
      entries.push([logKey(sequence), encodeSections({ sequence, sections })]);
    }
    const sequence = plan.logs.at(-1) ?? first;
    plan.sequence = sequence;
    for (const page of plan.pages.keys()) {
      page.writtenAt = sequence;
      const sections = sectionsOf(page, tables);
      entries.push([page.key, encodeSections({ sequence, sections })]);
    }
    this.#logs.push(...plan.logs);
    this.#plans.add(plan);
    Object.assign(this.#head, { clockMs, sequence, pages: this.#pages.onDisk.size });
    const neededFrom = this.#neededFrom(plan);
    this.#head.oldestLog = neededFrom;
    const appended = new Set([...this.#plans].flatMap((each) => each.appended));
    this.#head.logs = this.#logs.filter((each) => each >= neededFrom && !appended.has(each)).length;
    entries.push([HEAD, encodeHead(this.#head)]);
    this.#isWritten = true;
    try {
      // No `await` between these calls: writes of one turn reach the disk together or not at all.
      await Promise.all(
        chunks(entries).map((some) => this.#storage.put(Object.fromEntries(some), UNCONFIRMED)),
      );
    } catch (error) {
      this.#takeBack(plan);
      throw error;
    } finally {
      this.#plans.delete(plan);
    }
    await this.#deleteObsolete(plan);
  }

  /**
   * Appends rows to the log. The runtime holds the answer back until they are on disk.
   *
   * @throws what the storage throws
   */
  async append(places: readonly Place[], tables: Tables): Promise<void> {
    const rows = new Map<string, Row[]>();
    for (const { table, key } of places) {
      const each = rows.get(table) ?? [];
      each.push({ key, state: tables.get(table)?.get(key) });
      rows.set(table, each);
    }
    const entries: Record<string, Uint8Array<ArrayBuffer>> = {};
    const sequences: number[] = [];
    for (const sections of entriesOfRows(rows)) {
      const sequence = ++this.#head.sequence;
      sequences.push(sequence);
      entries[logKey(sequence)] = encodeSections({ sequence, sections });
    }
    this.#logs.push(...sequences);
    this.#appended.push(...sequences);
    // Kept in the list if it fails: it may have been written.
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
    this.#head = { ...NEW_HEAD, lostMs: this.#head.lostMs, crashedMs: this.#head.crashedMs };
    this.#pages.clear();
    this.#plans.clear();
    this.#logs = [];
    this.#appended = [];
    this.#changes = new Changes();
    this.#obsolete.clear();
    await this.#storage.deleteAll();
  }

  /** From which sequence on log entries are needed, as soon as that plan is on disk. */
  #neededFrom(done: Plan): number {
    const pending = [...this.#plans].filter((plan) => plan !== done);
    const since = pending.flatMap(({ pages }) => [...pages.values()]);
    // What was appended since is in no page, and no page is dirty by it yet.
    return Math.min(this.#pages.neededFrom, done.sequence + 1, ...since);
  }

  #takeBack(plan: Plan): void {
    this.#isWritten = false;
    this.#changes.takeBack(plan.changes, (name) => this.#pages.pagesOf(name).length === 0);
    for (const [page, dirtySince] of plan.pages) {
      // Nobody knows what the disk has of it.
      page.writtenAt = 0;
      this.#pages.restore(page, dirtySince);
    }
    this.#appended.push(...plan.appended);
    this.#logs = this.#logs.filter((sequence) => !plan.logs.includes(sequence));
    for (const sequence of plan.logs) this.#obsolete.add(logKey(sequence));
  }

  async #deleteObsolete(plan: Plan): Promise<void> {
    const neededFrom = this.#neededFrom(plan);
    const isObsolete = (sequence: number) =>
      sequence < neededFrom || plan.appended.includes(sequence);
    const logs = this.#logs.filter(isObsolete);
    const pages = [...this.#pages.obsolete];
    const others = [...this.#obsolete];
    const keys = [...logs.map(logKey), ...pages, ...others];
    await Promise.all(chunks(keys).map((some) => this.#storage.delete(some, UNCONFIRMED)));
    this.#logs = this.#logs.filter((sequence) => !logs.includes(sequence));
    for (const key of pages) this.#pages.obsolete.delete(key);
    for (const key of others) this.#obsolete.delete(key);
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
