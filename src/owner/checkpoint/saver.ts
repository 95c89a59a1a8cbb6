/**
 * When an owner writes what changed, and when it wakes to let go of what has expired.
 *
 * What it writes is gathered in one turn and written in several, each short, so that checks come
 * between; in one where something else is to reach the disk with it.
 */

import type { Counters } from "../../counters/counters.ts";
import { isMark } from "../../counters/table-name.ts";
import { logSeldom } from "../../log.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Runtime } from "../../runtime.ts";
import type { Handover } from "../change/handover.ts";
import { DropWarning } from "../drop-warning.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** From the first change after a pause to the checkpoint that holds it. */
export const CHECKPOINT_DELAY_MS = 500;
/** The least time between two checkpoints; a crash can lose as much, and until one is written. */
export const CHECKPOINT_INTERVAL_MS = 2_000;
/** So many changes are written at once, or to write them would hold up the checks. */
const MAX_CHANGES = 2_048;
/** Rows that each checkpoint looks at for expired ones, in tables that nobody may be asking for. */
const SWEEP_ROWS = 1_024;
const NO_ALARM = Number.POSITIVE_INFINITY;
/** A checkpoint that there never was. */
const NONE = -1;

export type AlarmStorage = Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "sync">;

export interface SaverOptions {
  counters: Counters;
  checkpoint: Checkpoint;
  handover: Handover;
  storage: AlarmStorage;
  runtime: Runtime;
  /** The owner's clock. */
  now: () => number;
  /** Called when nothing was live and all that was on disk has been deleted. */
  onCleared: () => void;
}

export class Saver {
  readonly #options: SaverOptions;
  readonly #checkpoint: Checkpoint;
  readonly #dropWarning = new DropWarning();
  /** Number of the checkpoint after which another is on its way; of the last that was hurried. */
  #scheduledAfter = NONE;
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

  /** To be called when the alarm goes off: lets go of what has expired. */
  async wake(): Promise<void> {
    this.#alarmMs = NO_ALARM;
    await this.save();
  }

  /** Writes what changed. It is on disk no later than what is written next, in the same turn too. */
  async save(): Promise<void> {
    this.#options.handover.isSaved = true;
    if (!this.#gather()) return this.clear();
    await this.#write(() => this.#checkpoint.writeAll());
  }

  /** Returns when all that is counted now is on disk. */
  async flush(): Promise<void> {
    await this.save();
    await this.#options.storage.sync();
  }

  /** Deletes all that is on disk, where nothing is counted any more. */
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
      // It was done meanwhile, or failed, and is scheduled anew.
      if (number !== this.#checkpoint.number) return;
      if (this.#checkpoint.isPending) return this.#overtake();
      // What was taken over is to be on disk at once with all that is counted then.
      const isOneTurn = this.#checkpoint.isShort || !this.#options.handover.isSaved;
      // A failure has been told, and is tried again.
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

  /** Writes the rest at once, since the next checkpoint is due: or each would be larger. */
  async #overtake(): Promise<void> {
    await this.#write(() => this.#checkpoint.writeAll()).catch(() => {});
    this.#saveIn(0);
  }

  /** Takes what is to be written; false if there is nothing to be kept on disk. */
  #gather(): boolean {
    const { counters, now } = this.#options;
    const nowMs = now();
    this.#gatheredAtMs = nowMs;
    counters.sweep(nowMs, SWEEP_ROWS);
    const { tables, dropped, size } = counters;
    const isLeftToTell = this.#dropWarning.tell(dropped, size, nowMs);
    if (tables.size === 0) return false;
    this.#checkpoint.gather(nowMs, tables);
    if (isLeftToTell) this.#schedule();
    return true;
  }

  async #write(write: () => Promise<void>): Promise<void> {
    const { storage, handover } = this.#options;
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
      handover.isSaved = false;
      logSeldom("error", "checkpoint-failed", "", { detail: String(error) });
      this.#schedule();
      throw error;
    }
  }

  /** When the last counter expires, or, where there are none, the last mark of a ring change. */
  get #lastExpiryMs(): number {
    const tables = [...this.#options.counters.tables];
    const counters = tables.filter(([name]) => !isMark(name));
    const last = counters.length > 0 ? counters : tables;
    return Math.max(...last.map(([, { lastExpiryMs }]) => lastExpiryMs));
  }
}
