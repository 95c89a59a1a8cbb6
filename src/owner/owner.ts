/**
 * The process that owns counters: its clock, when it writes a checkpoint, when it lets go.
 *
 * Knows nothing of Durable Objects; clock, timer and storage are handed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth, and a crash loses what was counted since
 * the last checkpoint.
 */
import type { Verdict } from "../limit/decision.ts";
import { type CheckpointStorage, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { type Check, Counters } from "./counters.ts";

/** From the first change after a pause to the checkpoint that holds it. */
export const CHECKPOINT_DELAY_MS = 500;
/** The least time between two checkpoints, so also the most that a crash can lose. */
export const CHECKPOINT_INTERVAL_MS = 2_000;

/** The part of a Durable Object's storage that an owner needs. */
export type OwnerStorage = CheckpointStorage &
  Pick<DurableObjectStorage, "deleteAll" | "getAlarm" | "setAlarm">;

export interface OwnerOptions {
  /** Milliseconds since the epoch. May run backwards: the owner does not follow it there. */
  clock: () => number;
  storage: OwnerStorage;
  /** Runs `task` once, `ms` milliseconds from now. */
  after: (ms: number, task: () => Promise<void>) => void;
}

export class Owner {
  readonly #clock: () => number;
  readonly #storage: OwnerStorage;
  readonly #after: OwnerOptions["after"];
  readonly #counters = new Counters();
  #nowMs = 0;
  #checkpointKeys = new Set<string>();
  #checkpointDue = false;
  #checkpointAtMs = Number.NEGATIVE_INFINITY;
  #alarmSet = false;

  constructor({ clock, storage, after }: OwnerOptions) {
    this.#clock = clock;
    this.#storage = storage;
    this.#after = after;
  }

  /** Reads the checkpoint. To be awaited before anything else is called. */
  async load(): Promise<void> {
    try {
      const checkpoint = await readCheckpoint(this.#storage);
      if (checkpoint) {
        this.#nowMs = checkpoint.clockMs;
        this.#checkpointKeys = checkpoint.keys;
        for (const [name, table] of checkpoint.tables) this.#counters.tables.set(name, table);
      }
    } catch (error) {
      console.error(JSON.stringify({ event: "checkpoint-refused", detail: String(error) }));
      await this.#storage.deleteAll();
    }
    this.#alarmSet = (await this.#storage.getAlarm()) !== null;
  }

  /**
   * Decides checks in order, at one time.
   *
   * @returns for each check a verdict for each of its policies; see {@link Counters.check}
   */
  check(batch: readonly Check[]): Verdict[][] {
    const nowMs = this.#tick();
    const verdicts = batch.map((check) => this.#counters.check(check, nowMs));
    if (verdicts.some((each) => each.every(({ allowed }) => allowed))) this.#scheduleCheckpoint();
    return verdicts;
  }

  /** Answers as `check` would, spending nothing. */
  peek(batch: readonly Check[]): Verdict[][] {
    const nowMs = this.#tick();
    return batch.map((check) => this.#counters.peek(check, nowMs));
  }

  /** Forgets what the keys spent under the policies named with each. */
  reset(batch: readonly Pick<Check, "key" | "policies">[]): void {
    for (const each of batch) this.#counters.reset(each);
    this.#scheduleCheckpoint();
  }

  /** To be called when the alarm goes off: lets go of what has expired. */
  async wake(): Promise<void> {
    this.#alarmSet = false;
    await this.#checkpoint();
  }

  /** Reads the clock, which to the counters never runs backwards. */
  #tick(): number {
    this.#nowMs = Math.max(this.#nowMs, this.#clock());
    return this.#nowMs;
  }

  #scheduleCheckpoint(): void {
    if (this.#checkpointDue) return;
    this.#checkpointDue = true;
    const sinceLastMs = this.#nowMs - this.#checkpointAtMs;
    const waitMs = Math.max(CHECKPOINT_DELAY_MS, CHECKPOINT_INTERVAL_MS - sinceLastMs);
    this.#after(waitMs, () => this.#checkpoint());
  }

  async #checkpoint(): Promise<void> {
    const clockMs = this.#tick();
    this.#checkpointDue = false;
    this.#checkpointAtMs = clockMs;
    this.#counters.sweep(clockMs);
    const { tables } = this.#counters;
    if (tables.size === 0) {
      this.#checkpointKeys.clear();
      this.#alarmSet = false;
      // Takes the alarm with it, and leaves an object that costs nothing.
      return this.#storage.deleteAll();
    }
    const writes = [writeCheckpoint(this.#storage, { clockMs, tables }, this.#checkpointKeys)];
    if (!this.#alarmSet) {
      this.#alarmSet = true;
      const lastMs = Math.max(...[...tables.values()].map((table) => table.lastExpiryMs()));
      writes.push(this.#storage.setAlarm(lastMs, { allowUnconfirmed: true }));
    }
    await Promise.all(writes);
  }
}
