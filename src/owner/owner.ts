/**
 * The process that owns counters: its clock, when it writes what to disk, when it lets go.
 *
 * Knows nothing of Durable Objects; clock, timer and storage are handed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth, and a crash loses what was counted
 * since the last checkpoint, except under policies that are `durable`.
 */
import { MisuseError } from "../limit/misuse.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { Checkpoint, type CheckpointStorage } from "./checkpoint.ts";
import type { CounterTable } from "./counter-table.ts";
import { type Check, Counters, type Explanation, type Refund } from "./counters.ts";
import { DropWarning } from "./drop-warning.ts";
import { Handover } from "./handover.ts";
import { isMark, tableName } from "./table-kind.ts";
import type { Answer } from "./wire.ts";

/** From the first change after a pause to the checkpoint that holds it. */
export const CHECKPOINT_DELAY_MS = 500;
/** The least time between two checkpoints; a crash can lose as much, and until one is written. */
export const CHECKPOINT_INTERVAL_MS = 2_000;
/** So many changes are written at once, or to write them would hold up the checks. */
const MAX_CHANGES = 2_048;
const NO_ALARM = Number.POSITIVE_INFINITY;
/** Rows that each checkpoint looks at for expired ones, in tables that nobody may be asking for. */
const SWEEP_ROWS = 1_024;

/** The part of a Durable Object's storage that an owner needs. */
export type OwnerStorage = CheckpointStorage &
  Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "sync">;

export interface OwnerOptions {
  /** Milliseconds since the epoch. May run backwards: the owner does not follow it there. */
  clock: () => number;
  storage: OwnerStorage;
  /** Runs `task` once, `ms` milliseconds from now. */
  after: (ms: number, task: () => Promise<void>) => void;
  /** As in {@link TablesOptions}. */
  maxBytes?: number | undefined;
  /** Called when nothing was live and all that was on disk has been deleted. */
  onCleared?: () => void;
}

export class Owner {
  /** Counters that change hands with the ring. */
  readonly handover: Handover;
  readonly #clock: () => number;
  readonly #storage: OwnerStorage;
  readonly #after: OwnerOptions["after"];
  readonly #onCleared: () => void;
  readonly #counters: Counters;
  readonly #checkpoint: Checkpoint;
  readonly #dropWarning = new DropWarning();
  #nowMs = 0;
  #epoch = 0;
  #checkpointDue = false;
  #checkpointAtMs = Number.NEGATIVE_INFINITY;
  /** When the alarm goes off, ms since the epoch. */
  #alarmMs = NO_ALARM;
  /** Whether there is so much to write that it does not wait. */
  #isUrgent = false;
  #written: Promise<unknown> | undefined;

  constructor({ clock, storage, after, maxBytes, onCleared = () => {} }: OwnerOptions) {
    this.#clock = clock;
    this.#storage = storage;
    this.#after = after;
    this.#onCleared = onCleared;
    this.#checkpoint = new Checkpoint(storage);
    this.#counters = new Counters({
      maxBytes,
      onChange: (table, key) => this.#onChange(table, key),
    });
    this.handover = new Handover(this.#counters.store);
  }

  /** Counters, expired ones included. */
  get keys(): number {
    return this.#counters.size;
  }

  /**
   * Ends when what durable policies have counted is on disk, and rejects if it can't be written;
   * undefined where it is there.
   */
  get written(): Promise<unknown> | undefined {
    return this.#written;
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    try {
      const tables = new Map<string, CounterTable>();
      this.#nowMs = await this.#checkpoint.read(tables);
      for (const [name, table] of tables) this.#counters.store.add(name, table);
    } catch (error) {
      // What cannot be read now may be readable later; only what makes no sense is thrown away.
      if (!(error instanceof MisuseError)) throw error;
      console.error(JSON.stringify({ event: "checkpoint-refused", detail: String(error) }));
      await this.#checkpoint.clear();
    }
    // Later than any epoch before the restart.
    this.#epoch = this.now();
    this.#alarmMs = (await this.#storage.getAlarm()) ?? NO_ALARM;
    // A crash may have come between the journal and the alarm that cleans up after it.
    if (!this.#checkpoint.isEmpty && this.#alarmMs === NO_ALARM) this.#scheduleCheckpoint();
  }

  /** Decides checks in order, at one time; see {@link Counters.check}. */
  check(batch: readonly Check[]): Answer {
    const atMs = this.now();
    this.#counters.touch(batch);
    this.#checkpoint.touch(batch);
    const verdicts = batch.map((check) => {
      const each = this.#counters.check(check, atMs);
      if (each.every(({ allowed }) => allowed)) this.#writeThrough(check);
      return each;
    });
    return { atMs, epoch: this.#epoch, verdicts };
  }

  /** Answers as `check` would, spending nothing. */
  peek(batch: readonly Check[]): Answer {
    const atMs = this.now();
    const epoch = this.#epoch;
    return { atMs, epoch, verdicts: batch.map((check) => this.#counters.peek(check, atMs)) };
  }

  /** Gives back what checks spent, and answers as `peek` would then. */
  refund(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    this.beginEpoch();
    for (const each of batch) {
      this.#counters.refund(each, atMs);
      this.#writeThrough(each);
    }
    return this.peek(batch);
  }

  /** Forgets what the keys spent under the policies named with each, and answers as `peek` would. */
  reset(batch: readonly Check[]): Answer {
    this.now();
    this.beginEpoch();
    for (const each of batch) {
      this.#counters.reset(each);
      this.#writeThrough(each);
    }
    return this.peek(batch);
  }

  /** Denies a key everything for that long; an earlier block that lasts longer stays. */
  block(key: KeyHash, durationMs: number): void {
    this.#counters.block(key, this.now() + durationMs);
  }

  unblock(key: KeyHash): void {
    this.now();
    this.beginEpoch();
    this.#counters.unblock(key);
  }

  /** Says why the key is decided on as it is; `blockedMs` is 0 unless it is blocked. */
  explain(check: Check): { blockedMs: number; policies: Explanation[] } {
    const nowMs = this.now();
    return {
      blockedMs: this.#counters.blockedMs(check.key, nowMs),
      policies: this.#counters.explain(check, nowMs),
    };
  }

  /**
   * To be called where what was denied may pass before its time, as after a refund or where keys
   * change hands. Callers who remember denials of an earlier epoch ask again.
   */
  beginEpoch(): void {
    this.#epoch++;
  }

  /**
   * Reads the clock, which to the counters never runs backwards.
   *
   * @param leastMs a time that has been already, by the clock of another owner
   */
  now(leastMs = 0): number {
    this.#nowMs = Math.max(this.#nowMs, this.#clock(), leastMs);
    return this.#nowMs;
  }

  /** To be called when the alarm goes off: lets go of what has expired. */
  async wake(): Promise<void> {
    this.#alarmMs = NO_ALARM;
    await this.save();
  }

  /** Writes what changed. It is on disk no later than what is written next, in the same turn too. */
  async save(): Promise<void> {
    if (!this.#gather()) return this.clear();
    this.handover.isSaved = true;
    await this.#write(() => this.#checkpoint.writeAll());
  }

  /** Takes what is to be written; false if there is nothing to be kept on disk. */
  #gather(): boolean {
    const nowMs = this.now();
    this.#checkpointDue = false;
    this.#isUrgent = false;
    this.#checkpointAtMs = nowMs;
    this.#counters.sweep(nowMs, SWEEP_ROWS);
    const { tables, dropped, size } = this.#counters;
    const isLeftToTell = this.#dropWarning.tell(dropped, size, nowMs);
    if (tables.size === 0) return false;
    this.#checkpoint.gather(nowMs, tables);
    if (isLeftToTell) this.#scheduleCheckpoint();
    return true;
  }

  async #write(write: () => Promise<void>): Promise<void> {
    const writes = [write()];
    const lastMs = this.#lastExpiryMs;
    const alarmMs = this.#alarmMs;
    if (lastMs < alarmMs) {
      this.#alarmMs = lastMs;
      writes.push(this.#storage.setAlarm(lastMs, { allowUnconfirmed: true }));
    }
    try {
      await Promise.all(writes);
    } catch (error) {
      this.#alarmMs = alarmMs;
      this.handover.isSaved = false;
      console.error(JSON.stringify({ event: "checkpoint-failed", detail: String(error) }));
      this.#scheduleCheckpoint();
      throw error;
    }
  }

  /** Returns when all that is counted now is on disk. */
  async flush(): Promise<void> {
    await this.save();
    await this.#storage.sync();
  }

  /** Deletes all that is on disk, where nothing is counted any more. */
  async clear(): Promise<void> {
    this.#alarmMs = NO_ALARM;
    // A checkpoint that is due will find that it was done.
    this.#checkpointDue = false;
    this.#isUrgent = false;
    // Leaves an object that costs nothing.
    const cleared = this.#checkpoint.clear();
    this.#onCleared();
    await cleared;
  }

  /** When the last counter expires, or, where there are none, the last mark of a ring change. */
  get #lastExpiryMs(): number {
    const tables = [...this.#counters.tables];
    const counters = tables.filter(([name]) => !isMark(name));
    const last = counters.length > 0 ? counters : tables;
    return Math.max(...last.map(([, { lastExpiryMs }]) => lastExpiryMs));
  }

  /** Puts what durable policies have counted on disk; see `written`. */
  #writeThrough({ key, policies }: Check): void {
    for (const policy of policies) {
      if (!policy.durable) continue;
      // Taken over once more after a crash, the key would lose what is written here.
      const saving = this.handover.isSaved ? undefined : this.save();
      const table = tableName(policy);
      const state = this.#counters.tables.get(table)?.get(key);
      const writing = this.#checkpoint.writeJournal(table, key, state);
      const written = Promise.all([this.#written, saving, writing]);
      const settle = () => {
        if (this.#written === written) this.#written = undefined;
      };
      this.#written = written;
      written.then(settle, settle);
    }
  }

  #onChange(table: string, key: KeyHash): void {
    this.#checkpoint.change(table, key);
    this.#scheduleCheckpoint();
    if (this.#isUrgent || this.#checkpoint.changes < MAX_CHANGES) return;
    this.#isUrgent = true;
    this.#saveIn(0);
  }

  #scheduleCheckpoint(): void {
    if (this.#checkpointDue) return;
    this.#checkpointDue = true;
    const sinceLastMs = this.#nowMs - this.#checkpointAtMs;
    const waitMs = Math.max(CHECKPOINT_DELAY_MS, CHECKPOINT_INTERVAL_MS - sinceLastMs);
    this.#saveIn(waitMs);
  }

  #saveIn(ms: number): void {
    const { number } = this.#checkpoint;
    // Unless it was done meanwhile.
    this.#after(ms, async () => {
      if (number !== this.#checkpoint.number) return;
      if (this.#checkpoint.isPending) return this.#saveIn(0);
      // A failure has been told, and is tried again. What was taken over is to be on disk at once
      // with all that is counted then.
      const isOneTurn = this.#checkpoint.isShort || !this.handover.isSaved;
      if (isOneTurn) return this.save().catch(() => {});
      if (!this.#gather()) return this.clear();
      this.#goOn();
    });
  }

  /** Writes what was gathered, each part in a turn of its own: checks come between. */
  #goOn(): void {
    const { number } = this.#checkpoint;
    this.#after(0, async () => {
      if (number !== this.#checkpoint.number) return;
      await this.#write(() => this.#checkpoint.writeSome()).catch(() => {});
      if (number === this.#checkpoint.number && this.#checkpoint.isUnfinished) this.#goOn();
    });
  }
}
