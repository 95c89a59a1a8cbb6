/**
 * When an owner writes what changed, and when it wakes to remove what has expired.
 *
 * A checkpoint is gathered in one turn and written in several short ones, so that checks come
 * between. It is written in one turn if it is small, or if something else must reach the disk with
 * it.
 */

import type { Counters } from "../../counters/counters.ts";
import { logSeldom } from "../../log.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import { DropWarning } from "../drop-warning.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Time from the first change after a pause to the checkpoint that has it. */
export const CHECKPOINT_DELAY_MS = 500;
/**
 * The least time between two checkpoints. A crash can lose that much, and what came while one was
 * being written.
 */
export const CHECKPOINT_INTERVAL_MS = 2_000;
/** With this many changes a checkpoint is due at once: a larger one would hold up the checks. */
const MAX_CHANGES = 2_048;
/**
 * Rows that a checkpoint looks at for expired ones. No checks may come to do that.
 */
const SWEEP_ROWS = 1_024;
const NO_ALARM = Number.POSITIVE_INFINITY;
/** The number of no checkpoint. */
const NONE = -1;

export type AlarmStorage = Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "sync">;

export interface SaverOptions {
  counters: Counters;
  checkpoint: Checkpoint;
  storage: AlarmStorage;
  runtime: Runtime;
  /** The owner's clock. */
  now: () => number;
  /** Called in the turn in which everything on disk is deleted, since nothing is live. */
  onCleared: () => void;
}

export class Saver {
  /** Whether rows of other owners were put in place that no checkpoint has yet. */
  hasImports = false;
  readonly #options: SaverOptions;
  readonly #checkpoint: Checkpoint;
  readonly #dropWarning = new DropWarning();
  /** Number of the checkpoint that a scheduled one is to follow. */
  #scheduledAfter = NONE;
  /** Number of the checkpoint whose successor was brought forward. */
  #hurriedAfter = NONE;
  #gatheredAtMs = Number.NEGATIVE_INFINITY;
  /** When the alarm goes off, ms since the epoch. */
  #alarmMs = NO_ALARM;

  constructor(options: SaverOptions) {
    this.#options = options;
    this.#checkpoint = options.checkpoint;
  }

  /** To be awaited once the checkpoint is read, before anything else is called. */
  async begin(): Promise<void> {
    this.#alarmMs = (await this.#options.storage.getAlarm()) ?? NO_ALARM;
    // A crash may have come between the journal and the alarm that cleans up after it.
    if (!this.#checkpoint.isEmpty && this.#alarmMs === NO_ALARM) this.#schedule();
  }

  /** To be called when a counter was set or deleted. */
  change(table: string, key: KeyHash): void {
    this.#checkpoint.change(table, key);
    this.#schedule();
    const { changes, number } = this.#checkpoint;
    if (changes < MAX_CHANGES || this.#hurriedAfter === number) return;
    this.#hurriedAfter = number;
    this.#saveIn(0);
  }

  /** To be called when the alarm goes off: removes what has expired. */
  async wake(): Promise<void> {
    this.#alarmMs = NO_ALARM;
    this.#options.counters.tables.dropExpired(this.#options.now());
    await this.save();
  }

  /**
   * Writes what changed, in one turn. What is written after this call reaches the disk no earlier.
   */
  async save(): Promise<void> {
    this.hasImports = false;
    if (!this.#gather()) return this.clear();
    await this.#write(() => this.#checkpoint.writeAll());
  }

  /** Resolves when all that is counted now is on disk. */
  async flush(): Promise<void> {
    await this.save();
    await this.#options.storage.sync();
  }

  /** Deletes everything on disk, since nothing is counted any more. */
  async clear(): Promise<void> {
    this.#alarmMs = NO_ALARM;
    // Leaves an object that costs nothing.
    const cleared = this.#checkpoint.clear();
    this.#options.onCleared();
    await cleared;
  }

  #schedule(): void {
    const { number } = this.#checkpoint;
    if (this.#scheduledAfter === number) return;
    this.#scheduledAfter = number;
    const sinceLastMs = this.#options.now() - this.#gatheredAtMs;
    this.#saveIn(Math.max(CHECKPOINT_DELAY_MS, CHECKPOINT_INTERVAL_MS - sinceLastMs));
  }

  #saveIn(ms: number): void {
    const { number } = this.#checkpoint;
    this.#options.runtime.after(ms, async () => {
      // Another was gathered meanwhile, or one failed; the next is scheduled.
      if (number !== this.#checkpoint.number) return;
      if (this.#checkpoint.isPending) return this.#overtake();
      // Imported keys must reach the disk together with what is counted for them.
      const isOneTurn = this.#checkpoint.isShort || this.hasImports;
      // A failure is in the log, and is tried again.
      if (isOneTurn) return this.save().catch(() => {});
      if (!this.#gather()) return this.clear().catch(() => {});
      this.#goOn();
    });
  }

  /** Writes what was gathered, each part in a turn of its own. */
  #goOn(): void {
    const { number } = this.#checkpoint;
    this.#options.runtime.after(0, async () => {
      if (number !== this.#checkpoint.number) return;
      await this.#write(() => this.#checkpoint.writeSome()).catch(() => {});
      if (number === this.#checkpoint.number && this.#checkpoint.isUnfinished) this.#goOn();
    });
  }

  /**
   * Writes the rest in one turn, since the next checkpoint is due already. Otherwise each would be
   * larger than the one before.
   */
  async #overtake(): Promise<void> {
    await this.#write(() => this.#checkpoint.writeAll()).catch(() => {});
    this.#saveIn(0);
  }

  /** Gathers what is to be written; false if nothing is to be kept on disk. */
  #gather(): boolean {
    const { counters, now } = this.#options;
    const nowMs = now();
    this.#gatheredAtMs = nowMs;
    const { tables } = counters;
    tables.sweep(nowMs, SWEEP_ROWS);
    const isLeftToTell = this.#dropWarning.tell(tables.evicted, tables.size, nowMs);
    if (tables.byName.size === 0) return false;
    this.#checkpoint.gather(nowMs, tables.byName);
    if (isLeftToTell) this.#schedule();
    return true;
  }

  async #write(write: () => Promise<void>): Promise<void> {
    const { storage } = this.#options;
    const writes = [write()];
    const lastMs = this.#lastExpiryMs;
    const alarmMs = this.#alarmMs;
    if (lastMs < alarmMs) {
      this.#alarmMs = lastMs;
      writes.push(storage.setAlarm(lastMs, { allowUnconfirmed: true }));
    }
    try {
      await Promise.all(writes);
    } catch (error) {
      this.#alarmMs = alarmMs;
      this.hasImports = true;
      logSeldom("error", "checkpoint-failed", "", { detail: String(error) });
      this.#schedule();
      throw error;
    }
  }

  /** When the last counter expires; without counters, when the last mark of a ring change does. */
  get #lastExpiryMs(): number {
    const tables = [...this.#options.counters.tables.byName.values()];
    const counters = tables.filter(({ kind }) => kind !== "imported" && kind !== "inexact");
    const last = counters.length > 0 ? counters : tables;
    return Math.max(...last.map(({ lastExpiryMs }) => lastExpiryMs));
  }
}
