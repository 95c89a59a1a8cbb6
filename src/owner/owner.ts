/**
 * The process that owns counters: its clock, and the verbs on what it counts.
 *
 * Knows nothing of Durable Objects; runtime and storage are handed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth, and a crash loses what was counted
 * since the last checkpoint, except under policies that are `durable`.
 */

import type { CounterTable } from "../counters/counter-table.ts";
import { type Check, Counters, type Explanation, type Refund } from "../counters/counters.ts";
import { BLOCKED, blocksName, tableName } from "../counters/table-name.ts";
import { MisuseError } from "../limit/misuse.ts";
import { log, logSeldom } from "../log.ts";
import type { Answer } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Runtime } from "../runtime.ts";
import { Handover } from "./change/handover.ts";
import { Checkpoint, type CheckpointStorage } from "./checkpoint/checkpoint.ts";
import { type AlarmStorage, Saver } from "./checkpoint/saver.ts";
import { RecentResets } from "./recent-resets.ts";

/** The part of a Durable Object's storage that an owner needs. */
export type OwnerStorage = CheckpointStorage & AlarmStorage;

export interface OwnerOptions {
  /** Its clock may run backwards: the owner's own never does. */
  runtime: Runtime;
  storage: OwnerStorage;
  /** As in {@link TablesOptions}. */
  maxBytes?: number | undefined;
  /** As for {@link Checkpoint}. */
  shortChanges?: number;
  /** Called when nothing was live and all that was on disk has been deleted. */
  onCleared?: () => void;
}

/** By how much the clocks of owners may differ; time stands still for as long where one is behind. */
const MOST_SKEW_MS = 1_000;

/** Keys whose reset is written one by one; a checkpoint takes less time for more. */
const MAX_JOURNALED = 32;

export class Owner {
  /** Counters that change hands with the ring. */
  readonly handover: Handover;
  /** What writes them to disk. */
  readonly saver: Saver;
  readonly #runtime: Runtime;
  readonly #counters: Counters;
  readonly #checkpoint: Checkpoint;
  readonly #resets = new RecentResets();
  #nowMs = 0;
  /** By how much the counters' time is ahead of a clock that was set back. */
  #aheadMs = 0;
  #epoch = 0;
  #written: Promise<unknown> | undefined;

  constructor(options: OwnerOptions) {
    const { runtime, storage, maxBytes, shortChanges, onCleared = () => {} } = options;
    this.#runtime = runtime;
    const counters = new Counters({
      maxBytes,
      onChange: (table, key) => this.saver.change(table, key),
      onBlock: (policy, key) => {
        if (policy.durable) this.#writeNow(blocksName(policy), key);
      },
    });
    const checkpoint = new Checkpoint(storage, shortChanges);
    const handover = new Handover(counters.store);
    const now = () => this.now();
    this.handover = handover;
    this.#counters = counters;
    this.#checkpoint = checkpoint;
    this.saver = new Saver({ counters, checkpoint, handover, storage, runtime, now, onCleared });
  }

  /** Counters, expired ones included. */
  get keys(): number {
    return this.#counters.size;
  }

  /**
   * Ends when what durable policies counted and what operators did is on disk, and rejects if it
   * can't be written; undefined where it is there.
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
      log("error", "checkpoint-refused", { detail: String(error) });
      await this.#checkpoint.clear();
    }
    // Another one than before the restart, unless that saw 1,000 refunds a second.
    this.#epoch = this.now();
    this.#resets.begin(this.#nowMs);
    await this.saver.begin();
  }

  /** Decides checks in order, at one time; see {@link Counters.check}. */
  check(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    this.#counters.touch(batch);
    this.#checkpoint.touch(batch);
    const answer: Answer = { atMs, epoch: this.#epoch, verdicts: [] };
    answer.verdicts = batch.map((check, at) => {
      const { key, spentAtMs } = check;
      if (spentAtMs !== undefined && this.#resets.isSince(key, spentAtMs)) {
        answer.ended ??= [];
        answer.ended[at] = true;
      }
      const each = this.#counters.check(check, atMs);
      if (each.every(({ allowed }) => allowed)) this.#writeThrough(check);
      return each;
    });
    return answer;
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
    for (const each of batch) {
      // Most refunds end no denial. If each began an epoch, a site with many of them would have all
      // memories of this owner expire.
      if (this.#counters.refund(each, atMs)) this.beginEpoch();
      this.#writeThrough(each);
    }
    return this.peek(batch);
  }

  /** Forgets what the keys spent under the policies named with each, and answers as `peek` would. */
  reset(batch: readonly Check[]): Answer {
    const nowMs = this.now();
    this.beginEpoch();
    const areMany = batch.length > MAX_JOURNALED;
    for (const each of batch) {
      this.#counters.reset(each);
      this.#resets.add(each.key, nowMs);
      for (const policy of areMany ? [] : each.policies) {
        this.#writeNow(tableName(policy), each.key);
        this.#writeNow(blocksName(policy), each.key);
      }
    }
    if (areMany && this.#counters.tables.size > 0) this.#holdFor(this.saver.flush());
    return this.peek(batch);
  }

  /** Denies a key everything for that long; an earlier block that lasts longer stays. */
  block(key: KeyHash, durationMs: number): void {
    const nowMs = this.now();
    this.beginEpoch();
    this.#counters.block(key, nowMs + durationMs);
    this.#writeNow(BLOCKED, key);
  }

  unblock(key: KeyHash): void {
    this.now();
    this.beginEpoch();
    for (const name of this.#counters.unblock(key)) this.#writeNow(name, key);
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
   * To be called where what callers remember may end before its time: a denial by a refund or where
   * keys change hands, a lease by a block. Those who remember an earlier epoch ask again.
   */
  beginEpoch(): void {
    this.#epoch++;
  }

  /**
   * Reads the clock, which to the counters never runs backwards. Where it was ahead and is set right,
   * time goes on from where it was: if it stood still instead, no window would end for so long.
   *
   * @param leastMs a time that has been already, by the clock of another owner
   */
  now(leastMs = 0): number {
    const clockMs = this.#runtime.now();
    const behindMs = this.#nowMs - clockMs;
    if (behindMs <= MOST_SKEW_MS) this.#aheadMs = 0;
    else if (behindMs - this.#aheadMs > MOST_SKEW_MS) {
      this.#aheadMs = behindMs;
      logSeldom("warn", "clock-set-back", "", { byMs: behindMs });
    }
    this.#nowMs = Math.max(this.#nowMs, clockMs + this.#aheadMs, leastMs);
    return this.#nowMs;
  }

  /** Puts what durable policies have counted on disk; see `written`. */
  #writeThrough({ key, policies }: Check): void {
    for (const policy of policies) if (policy.durable) this.#writeNow(tableName(policy), key);
  }

  /** Puts a row on disk, or that there is none; see `written`. */
  #writeNow(name: string, key: KeyHash): void {
    const table = this.#counters.tables.get(name);
    // Nothing of such a table is on disk that matters: a region where nobody was stays empty.
    if (!table) return;
    // Taken over once more after a crash, the key would lose what is written here.
    const saving = this.handover.isSaved ? undefined : this.saver.save();
    const writing = this.#checkpoint.writeJournal(name, key, table.get(key));
    this.#holdFor(Promise.all([saving, writing]));
  }

  /** Has answers wait until something is written; see `written`. */
  #holdFor(writing: Promise<unknown>): void {
    const written = Promise.all([this.#written, writing]);
    const settle = () => {
      if (this.#written === written) this.#written = undefined;
    };
    this.#written = written;
    written.then(settle, settle);
  }
}
