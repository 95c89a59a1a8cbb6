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
  /** Makes answers wait for a write. */
  hold: (writing: Promise<unknown>) => void;
  /** Called at most once a minute, as long as evictions are left to tell of. */
  onEvicted?: OnEvicted | undefined;
}

export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #checkpoint: Checkpoint;
  readonly #dropWarning: DropWarning;
  /** Whether a checkpoint is needed, if only of the head. */
  #isDirty = false;
  /** Whether the crash mark is on disk: changes may be in memory alone. */
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

  /** Takes what reading the disk found. Await this before calling anything else. */
  async begin({ isDamaged, isCrash }: Found): Promise<void> {
    this.#alarmMs = (await this.#options.storage.getAlarm()) ?? NEVER_MS;
    this.#isMarked = isCrash;
    // A crash may have come between a durable row and the alarm that cleans up after it.
    const isAlarmLost = this.#alarmMs === NEVER_MS && this.#checkpoint.head.sequence > 0;
    // A loss must still be known after another restart.
    this.#isDirty = isDamaged || isCrash || isAlarmLost;
    if (this.#isDirty) this.schedule();
  }

  /** Notes that a row was set or deleted. */
  change(table: string, key: KeyHash): void {
    if (!this.#isMarked) this.#mark();
    this.#isDirty = true;
    const { changes } = this.#checkpoint;
    changes.change(table, key, () => this.#options.counters.tables.get(table, key)?.length ?? 0);
    if (changes.bytes < MAX_CHANGED_BYTES) this.schedule();
    else this.#saveAt(AT_ONCE_MS);
  }

  /** Removes what has expired, when the alarm goes off. */
  async wake(): Promise<void> {
    this.#alarmMs = NEVER_MS;
    this.#options.counters.tables.dropExpired(this.#options.now());
    await this.save();
  }

  /**
   * Writes what changed, in one turn. Later writes reach the disk no earlier than this one.
   */
  async save(): Promise<void> {
    const { counters, storage, now } = this.#options;
    const nowMs = now();
    this.#dueMs = NEVER_MS;
    this.#isDirty = false;
    this.#writtenAtMs = nowMs;
    const { tables } = counters;
    tables.sweep(nowMs, SWEEP_ROWS);
    // A loss may still matter, although nothing is counted now.
    const { lostMs, crashedMs } = this.#checkpoint.head;
    const inexactMs = Math.max(lostMs, crashedMs) + MAX_LOSS_AGE_MS;
    if (tables.byName.size === 0 && inexactMs <= nowMs) return this.clear();
    if (this.#isMarked) this.schedule();
    const writes = [this.#checkpoint.write(nowMs, tables.byName, false)];
    const lastMs = this.#lastExpiryMs || inexactMs;
    if (lastMs < this.#alarmMs) {
      this.#alarmMs = lastMs;
      writes.push(storage.setAlarm(lastMs, UNCONFIRMED));
    }
    try {
      await Promise.all(writes);
    } catch (error) {
      // Perhaps not set, or deleted meanwhile: the next checkpoint sets it again.
      this.#alarmMs = NEVER_MS;
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

  /** Schedules a checkpoint, unless one is due already. */
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
      // `save` has logged the failure and scheduled another try.
      if (this.#dueMs === atMs) await this.#run().catch(() => {});
    });
  }

  /** Writes the checkpoint that is due, or removes the crash mark once everything is on disk. */
  async #run(): Promise<void> {
    this.#dueMs = NEVER_MS;
    const { counters, now } = this.#options;
    const { evicted, size } = counters.tables;
    const isLeftToTell = this.#dropWarning.tell(evicted, size, now());
    if (this.#isDirty || !this.#checkpoint.hasAll) await this.save();
    else if (this.#isMarked) await this.#unmark();
    if (isLeftToTell) this.schedule();
  }

  /** Puts the crash mark on disk before the next answer, so that a crash shows after a restart. */
  #mark(): void {
    this.#isMarked = true;
    const marking = this.#options.storage.put({ [CRASH_MARK]: 1 }).catch(() => {
      // The next change tries again. Counts that need not be on disk need no mark, either.
      this.#isMarked = false;
    });
    this.#options.hold(marking);
  }

  /** Removes the crash mark, unless something changes before the last checkpoint is on disk. */
  async #unmark(): Promise<void> {
    // `hasAll` is already true while the last write is unconfirmed and may still fail.
    await this.#options.storage.sync();
    if (!this.#checkpoint.hasAll) return;
    this.#isMarked = false;
    await this.#options.storage.delete([CRASH_MARK], UNCONFIRMED);
  }

  /**
   * When the last counter expires. If there are only marks of imports and losses, the last mark. Or
   * some time from the alarm on: then the alarm stays, and an owner may have 76,000 tables.
   */
  get #lastExpiryMs(): number {
    let lastMs = 0;
    let lastMarkMs = 0;
    for (const { kind, lastExpiryMs } of this.#options.counters.tables.byName.values()) {
      if (kind === "imported" || kind === "inexact") {
        lastMarkMs = Math.max(lastMarkMs, lastExpiryMs);
      } else lastMs = Math.max(lastMs, lastExpiryMs);
      if (lastMs >= this.#alarmMs) break;
    }
    return lastMs || lastMarkMs;
  }
}
