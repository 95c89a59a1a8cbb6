/**
 * Counters with a clock and a disk: what was counted is there again after a restart.
 *
 * Knows nothing of Durable Objects: runtime and storage are passed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth. A crash loses what was counted since
 * the last checkpoint, except under policies that are `durable`.
 */
import { Clock } from "../clock.ts";
import type { CounterTable } from "../counters/counter-table.ts";
import { Counters } from "../counters/counters.ts";
import { INEXACT } from "../counters/table-name.ts";
import type { State } from "../limit/algorithm.ts";
import { InvalidError } from "../limit/misuse.ts";
import { log } from "../log.ts";
import { MAX_LOSS_AGE_MS } from "../protocol/ring-record.ts";
import type { DiskLosses } from "../protocol/rpc.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Runtime } from "../runtime.ts";
import { Checkpoint, type CheckpointStorage, type Found } from "./checkpoint/checkpoint.ts";
import { DurableRows } from "./durable-rows.ts";
import { InexactCounts, type Loss } from "./inexact.ts";
import { Schedule, type ScheduleOptions, type ScheduleStorage } from "./schedule.ts";

/** The part of a Durable Object's storage that an owner needs. */
export type OwnerStorage = CheckpointStorage & ScheduleStorage;

export interface StoredCountersOptions extends Pick<ScheduleOptions, "onEvicted"> {
  /** Its clock may run backwards: the owner's own never does. */
  runtime: Runtime;
  storage: OwnerStorage;
  /** See `TablesOptions`. */
  maxBytes?: number | undefined;
  /** Called in the turn in which everything on disk is deleted, since nothing is live. */
  onCleared?: () => void;
}

export class StoredCounters {
  readonly #clock: Clock;
  protected readonly counters: Counters;
  readonly #checkpoint: Checkpoint;
  readonly #schedule: Schedule;
  protected readonly durable: DurableRows;
  protected readonly inexact: InexactCounts;

  constructor(options: StoredCountersOptions) {
    const { runtime, storage, maxBytes, onCleared = () => {}, onEvicted } = options;
    this.#clock = new Clock(runtime);
    const counters = new Counters({
      maxBytes,
      onChange: (table, key) => this.#schedule.change(table, key),
      onDrop: (table) => this.#checkpoint.changes.drop(table),
      onBlock: ({ durable }) => durable && this.durable.note(),
    });
    const checkpoint = new Checkpoint(storage);
    const now = () => this.now();
    this.counters = counters;
    this.#checkpoint = checkpoint;
    const hold = (writing: Promise<unknown>) => this.durable.holdFor(writing);
    const all = { counters, checkpoint, storage, runtime, now, onCleared, hold, onEvicted };
    const schedule = new Schedule(all);
    this.#schedule = schedule;
    this.durable = new DurableRows(() =>
      checkpoint.hasAll ? undefined : checkpoint.write(now(), counters.tables.byName, true),
    );
    this.inexact = new InexactCounts(counters.tables);
  }

  /** Rows of all tables, expired ones and marks of ring changes included. */
  get keys(): number {
    return this.counters.tables.size;
  }

  /** See {@link Tables.fill}. */
  get fill(): number {
    return this.counters.tables.fill;
  }

  /**
   * Resolves when everything that an answer waits for is on disk. Rejects if what durable policies
   * counted or operators did can't be written. A crash mark is waited for, too, but may fail.
   * Undefined if nothing is being written.
   */
  get written(): Promise<unknown> | undefined {
    return this.durable.written;
  }

  /** Reads what is on disk. Await this before calling anything else. */
  async load(): Promise<void> {
    let found: Found = { isDamaged: true, isCrash: false };
    try {
      const tables = new Map<string, CounterTable>();
      found = await this.#checkpoint.read(tables);
      if (found.isDamaged) log("error", "checkpoint-damaged");
      for (const [name, table] of tables) this.counters.tables.addTable(name, table);
    } catch (error) {
      // A read that fails may succeed later. Only a checkpoint that makes no sense is thrown away.
      if (!(error instanceof InvalidError)) throw error;
      log("error", "checkpoint-refused", { detail: String(error) });
      await this.#checkpoint.clear();
    }
    const { head } = this.#checkpoint;
    const nowMs = this.#clock.resume(head.clockMs);
    if (found.isDamaged) head.lostMs = nowMs;
    if (found.isCrash) head.crashedMs = nowMs;
    this.inexact.load();
    this.counters.holds.load();
    this.inexact.noteDisk(head);
    await this.#schedule.begin(found);
  }

  /** All rows by the name of their table, those of ring changes included. */
  get tables(): ReadonlyMap<string, CounterTable> {
    return this.counters.tables.byName;
  }

  /**
   * Puts a row in place for a ring change: what another owner counted, or a mark. A full owner
   * evicts others for it.
   */
  putRow(table: string, key: KeyHash, state: State): void {
    this.counters.tables.setWithin(table, key, state, this.now());
    if (this.tables.get(table)?.kind === "hold") this.counters.holds.noteRow(state);
    this.inexact.noteRow(table, state);
  }

  removeRow(table: string, key: KeyHash): void {
    this.counters.tables.delete(table, key);
  }

  dropTable(name: string): void {
    this.counters.tables.dropTable(name);
  }

  /** Notes that a key is counted anew, since its counts got lost. */
  addInexact(key: KeyHash): void {
    const nowMs = this.now();
    this.putRow(INEXACT, key, [nowMs + MAX_LOSS_AGE_MS, nowMs]);
  }

  /** When this owner lost counts on disk, which its exports may lack; undefined if it never did. */
  get diskLosses(): DiskLosses | undefined {
    const { lostMs, crashedMs } = this.#checkpoint.head;
    return lostMs + crashedMs > 0 ? { lostMs, crashedMs } : undefined;
  }

  /**
   * Takes over the losses of an owner whose keys were imported. They make every key here inexact.
   */
  addDiskLosses({ lostMs, crashedMs }: DiskLosses): void {
    const { head } = this.#checkpoint;
    head.lostMs = Math.max(head.lostMs, lostMs);
    head.crashedMs = Math.max(head.crashedMs, crashedMs);
    this.inexact.noteDisk(head);
  }

  /** Replaces the losses of more than one key. */
  setLosses(losses: readonly Loss[]): void {
    this.inexact.setLosses(losses);
  }

  /** Writes what changed. Later writes reach the disk no earlier than this one. */
  save(): Promise<void> {
    return this.#schedule.save();
  }

  /** Resolves when all that is counted now is on disk. */
  flush(): Promise<void> {
    return this.#schedule.flush();
  }

  /** Deletes everything on disk, since nothing is counted any more. */
  clear(): Promise<void> {
    return this.#schedule.clear();
  }

  /** Removes what has expired, when the alarm goes off. */
  wake(): Promise<void> {
    return this.#schedule.wake();
  }

  /** As in {@link Clock}. */
  now(): number {
    return this.#clock.now();
  }

  /** As in {@link Clock}. */
  follow(otherMs: number): void {
    this.#clock.follow(otherMs);
  }
}
