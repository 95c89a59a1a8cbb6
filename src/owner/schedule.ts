/** When an owner writes what changed, and when it wakes to remove what has expired. */

import type { Counters } from "../counters/counters.ts";
import { logSeldom } from "../log.ts";
import { MAX_LOSS_AGE_MS } from "../protocol/ring-record.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Runtime } from "../runtime.ts";
import { type Checkpoint, type Found, UNCONFIRMED } from "./checkpoint/checkpoint.ts";
import { CRASH_MARK } from "./checkpoint/format.ts";
import { DropWarning, type OnEvicted } from "./drop-warning.ts";

/** How long after the first change a checkpoint is written, if the last one is long past. */
export const CHECKPOINT_DELAY_MS = 500;
/** The least time between two checkpoints, unless much changes: a crash can lose that much. */
export const CHECKPOINT_INTERVAL_MS = 2_000;
/** With this many bytes of changes a checkpoint is due at once: more would hold up the checks. */
const MAX_CHANGED_BYTES = 16_000;
/** Rows that a checkpoint looks at for expired ones. Checks do so, too, but may not come. */
const SWEEP_ROWS = 1_024;
const NEVER_MS = Number.POSITIVE_INFINITY;
/** A time that has always passed: the checkpoint is due now. */
const AT_ONCE_MS = 0;

export type ScheduleStorage = Pick<
  DurableObjectStorage,
  "put" | "delete" | "getAlarm" | "setAlarm" | "sync"
>;

export interface ScheduleOptions {
  counters: Counters;
  checkpoint: Checkpoint;
  storage: ScheduleStorage;
  runtime: Runtime;
  /** The owner's clock. */
  now: () => number;
  /** Called in the turn in which everything on disk is deleted, since nothing is live. */
  onCleared: () => void;
  /** Called with what answers must wait for. */
  hold: (writing: Promise<unknown>) => void;
  /** Told at most once a minute. */
  onEvicted?: OnEvicted | undefined;
}

export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #checkpoint: Checkpoint;
  readonly #dropWarning: DropWarning;
  /** Whether a checkpoint is needed, if only of the head. */
  #isDirty = false;
  /** Whether the disk says that changes may be in memory alone. */
  #isMarked = false;
  /** When the next checkpoint is due; timers for any other time are void. */
  #dueMs = NEVER_MS;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  /** When the alarm goes off, ms since the epoch. */
  #alarmMs = NEVER_MS;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#checkpoint = options.checkpoint;
    this.#dropWarning = new DropWarning(options.onEvicted);
  }

  /** To be awaited with what reading the checkpoint found, before anything else is called. */
  async begin({ isDamaged, isCrash }: Found): Promise<void> {
    this.#alarmMs = (await this.#options.storage.getAlarm()) ?? NEVER_MS;
    this.#isMarked = isCrash;
    // A crash may have come between a durable row and the alarm that cleans up after it.
    const isAlarmLost = this.#alarmMs === NEVER_MS && this.#checkpoint.head.sequence > 0;
    // A loss is to be known after another restart, too.
    this.#isDirty = isDamaged || isCrash || isAlarmLost;
    if (this.#isDirty) this.schedule();
  }

  /** To be called when a counter was set or deleted. */
  change(table: string, key: KeyHash): void {
    if (!this.#isMarked) this.#mark();
    this.#isDirty = true;
    const { changes } = this.#checkpoint;
    changes.change(table, key, () => this.#options.counters.tables.get(table, key)?.length ?? 0);
    if (changes.bytes < MAX_CHANGED_BYTES) this.schedule();
    else this.#saveAt(AT_ONCE_MS);
  }

  /** To be called when the alarm goes off: removes what has expired. */
  async wake(): Promise<void> {
    this.#alarmMs = NEVER_MS;
    this.#options.counters.tables.dropExpired(this.#options.now());
    await this.save();
  }

  /**
   * Writes what changed, in one turn. What is written after this call reaches the disk no earlier.
   */
  async save(): Promise<void> {
    const { counters, storage, now } = this.#options;
    const nowMs = now();
    this.#dueMs = NEVER_MS;
    this.#isDirty = false;
    this.#writtenAtMs = nowMs;
    const { tables } = counters;
    tables.sweep(nowMs, SWEEP_ROWS);
    // What got lost may matter although nothing is counted now.
    const { lostMs, crashedMs } = this.#checkpoint.head;
    const inexactMs = Math.max(lostMs, crashedMs) + MAX_LOSS_AGE_MS;
    if (tables.byName.size === 0 && inexactMs <= nowMs) return this.clear();
    if (this.#isMarked) this.schedule();
    const writes = [this.#checkpoint.write(nowMs, tables.byName, UNCONFIRMED)];
    const alarmMs = this.#alarmMs;
    const lastMs = this.#lastExpiryMs || inexactMs;
    if (lastMs < alarmMs) {
      this.#alarmMs = lastMs;
      writes.push(storage.setAlarm(this.#alarmMs, UNCONFIRMED));
    }
    try {
      await Promise.all(writes);
    } catch (error) {
      this.#alarmMs = alarmMs;
      this.#isDirty = true;
      logSeldom("error", "checkpoint-failed", "", { detail: String(error) });
      this.schedule();
      throw error;
    }
  }

  /** Resolves when all that is counted now is on disk. */
  async flush(): Promise<void> {
    await this.save();
    await this.#options.storage.sync();
  }

  /** Deletes everything on disk, since nothing is counted any more. */
  async clear(): Promise<void> {
    this.#dueMs = NEVER_MS;
    this.#isMarked = false;
    this.#alarmMs = NEVER_MS;
    // Leaves an object that costs nothing.
    const cleared = this.#checkpoint.clear();
    this.#options.onCleared();
    await cleared;
  }

  /** Has a checkpoint written soon. */
  schedule(): void {
    if (this.#dueMs < NEVER_MS) return;
    const soonMs = this.#options.now() + CHECKPOINT_DELAY_MS;
    this.#saveAt(Math.max(soonMs, this.#writtenAtMs + CHECKPOINT_INTERVAL_MS));
  }

  #saveAt(atMs: number): void {
    if (this.#dueMs <= atMs) return;
    this.#dueMs = atMs;
    const { runtime, now } = this.#options;
    runtime.after(Math.max(0, atMs - now()), async () => {
      // A failure is in the log, and is tried again.
      if (this.#dueMs === atMs) await this.#run().catch(() => {});
    });
  }

  /** What is due: the checkpoint; or once all is on disk, to take the mark away. */
  async #run(): Promise<void> {
    this.#dueMs = NEVER_MS;
    const { counters, now } = this.#options;
    const { evicted, size } = counters.tables;
    const isLeftToTell = this.#dropWarning.tell(evicted, size, now());
    if (this.#isDirty || !this.#checkpoint.hasAll) await this.save();
    else if (this.#isMarked) await this.#unmark();
    if (isLeftToTell) this.schedule();
  }

  /** Has a crash told from an eviction, by a mark that is on disk before the next answer. */
  #mark(): void {
    this.#isMarked = true;
    const marking = this.#options.storage.put({ [CRASH_MARK]: 1 }).catch(() => {
      // The next change tries it again. Counts that need not be on disk need no mark, either.
      this.#isMarked = false;
    });
    this.#options.hold(marking);
  }

  /** Takes the mark away, unless anything changes before the last checkpoint is on disk. */
  async #unmark(): Promise<void> {
    // A checkpoint counts as written before the runtime has confirmed it, and may fail until then.
    await this.#options.storage.sync();
    if (!this.#checkpoint.hasAll) return;
    this.#isMarked = false;
    await this.#options.storage.delete([CRASH_MARK], UNCONFIRMED);
  }

  /** When the last counter expires; without counters, when the last mark of a ring change does. */
  get #lastExpiryMs(): number {
    const tables = [...this.#options.counters.tables.byName.values()];
    const counters = tables.filter(({ kind }) => kind !== "imported" && kind !== "inexact");
    const last = counters.length > 0 ? counters : tables;
    return last.reduce((ms, { lastExpiryMs }) => Math.max(ms, lastExpiryMs), 0);
  }
}
