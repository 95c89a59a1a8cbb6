/**
 * The process that owns counters: its clock, when it writes what to disk, when it lets go.
 *
 * Knows nothing of Durable Objects; clock, timer and storage are handed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth, and a crash loses what was counted
 * since the last checkpoint, except under policies that are `durable`.
 */
import { MisuseError } from "../limit/misuse.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import {
  type CheckpointStorage,
  readCheckpoint,
  writeCheckpoint,
  writeJournal,
} from "./checkpoint.ts";
import { type Check, Counters, type Explanation, type Refund, tableName } from "./counters.ts";
import type { Answer } from "./wire.ts";

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
  readonly #storageKeys = new Set<string>();
  #nowMs = 0;
  #checkpointDue = false;
  #checkpointAtMs = Number.NEGATIVE_INFINITY;
  #alarmSet = false;

  constructor({ clock, storage, after }: OwnerOptions) {
    this.#clock = clock;
    this.#storage = storage;
    this.#after = after;
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    try {
      const checkpoint = await readCheckpoint(this.#storage);
      if (checkpoint) {
        this.#nowMs = checkpoint.clockMs;
        for (const key of checkpoint.keys) this.#storageKeys.add(key);
        for (const [name, table] of checkpoint.tables) this.#counters.tables.set(name, table);
      }
    } catch (error) {
      // What cannot be read now may be readable later; only what makes no sense is thrown away.
      if (!(error instanceof MisuseError)) throw error;
      console.error(JSON.stringify({ event: "checkpoint-refused", detail: String(error) }));
      await this.#storage.deleteAll();
    }
    this.#alarmSet = (await this.#storage.getAlarm()) !== null;
    // A crash may have come between the journal and the alarm that cleans up after it.
    if (this.#storageKeys.size > 0 && !this.#alarmSet) this.#scheduleCheckpoint();
  }

  /** Decides checks in order, at one time; see {@link Counters.check}. */
  check(batch: readonly Check[]): Answer {
    const atMs = this.#tick();
    const verdicts = batch.map((check) => {
      const each = this.#counters.check(check, atMs);
      if (each.every(({ allowed }) => allowed)) this.#changed(check);
      return each;
    });
    return { atMs, verdicts };
  }

  /** Answers as `check` would, spending nothing. */
  peek(batch: readonly Check[]): Answer {
    const atMs = this.#tick();
    return { atMs, verdicts: batch.map((check) => this.#counters.peek(check, atMs)) };
  }

  /** Gives back what checks spent, and answers as `peek` would then. */
  refund(batch: readonly Refund[]): Answer {
    const atMs = this.#tick();
    for (const each of batch) {
      this.#counters.refund(each, atMs);
      this.#changed(each);
    }
    return this.peek(batch);
  }

  /** Forgets what the keys spent under the policies named with each. */
  reset(batch: readonly Check[]): void {
    this.#tick();
    for (const each of batch) {
      this.#counters.reset(each);
      this.#changed(each);
    }
  }

  /** Denies a key everything for that long; an earlier block that lasts longer stays. */
  block(key: KeyHash, durationMs: number): void {
    this.#counters.block(key, this.#tick() + durationMs);
    this.#scheduleCheckpoint();
  }

  unblock(key: KeyHash): void {
    this.#tick();
    this.#counters.unblock(key);
    this.#scheduleCheckpoint();
  }

  /** Says why the key is decided on as it is; `blockedMs` is 0 unless it is blocked. */
  explain(check: Check): { blockedMs: number; policies: Explanation[] } {
    const nowMs = this.#tick();
    return {
      blockedMs: this.#counters.blockedMs(check.key, nowMs),
      policies: this.#counters.explain(check, nowMs),
    };
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

  #changed({ key, policies }: Check): void {
    this.#scheduleCheckpoint();
    for (const policy of policies) {
      if (!policy.durable) continue;
      const table = tableName(policy);
      const state = this.#counters.tables.get(table)?.get(key);
      void writeJournal(this.#storage, table, key, state, this.#storageKeys);
    }
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
      this.#storageKeys.clear();
      this.#alarmSet = false;
      // Takes the alarm with it, and leaves an object that costs nothing.
      return this.#storage.deleteAll();
    }
    const writes = [writeCheckpoint(this.#storage, { clockMs, tables }, this.#storageKeys)];
    if (!this.#alarmSet) {
      this.#alarmSet = true;
      const lastMs = Math.max(...[...tables.values()].map((table) => table.lastExpiryMs()));
      writes.push(this.#storage.setAlarm(lastMs, { allowUnconfirmed: true }));
    }
    await Promise.all(writes);
  }
}
