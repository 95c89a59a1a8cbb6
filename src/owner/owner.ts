/**
 * The process that owns counters: its clock, and the verbs on what it counts.
 *
 * Knows nothing of Durable Objects: runtime and storage are passed in, so that a test or a
 * simulation can run it. The trade-off: memory is the truth. A crash loses what was counted since
 * the last checkpoint, except under policies that are `durable`.
 */
import type { checkOnce } from "../counters/answers.ts";
import type { Check, CounterPolicy, Explanation, Refund } from "../counters/check.ts";
import type { CounterTable } from "../counters/counter-table.ts";
import { Counters } from "../counters/counters.ts";
import { blocksName, INEXACT, tableName } from "../counters/table-name.ts";
import type { State } from "../limit/algorithm.ts";
import { InvalidError } from "../limit/misuse.ts";
import { log } from "../log.ts";
import { MAX_LOSS_AGE_MS } from "../protocol/ring-record.ts";
import type { DiskLosses } from "../protocol/rpc.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Runtime } from "../runtime.ts";
import { Checkpoint, type CheckpointStorage, type Found } from "./checkpoint/checkpoint.ts";
import { type AlarmStorage, Schedule, type ScheduleOptions } from "./checkpoint/schedule.ts";
import { Clock } from "./clock.ts";
import { DurableRows } from "./durable-rows.ts";
import { InexactCounts, type Loss } from "./inexact.ts";
import { RecentResets } from "./recent-resets.ts";

/** The part of a Durable Object's storage that an owner needs. */
export type OwnerStorage = CheckpointStorage & AlarmStorage;

export interface OwnerOptions extends Pick<ScheduleOptions, "onEvicted"> {
  /** Its clock may run backwards: the owner's own never does. */
  runtime: Runtime;
  storage: OwnerStorage;
  /** See `TablesOptions`. */
  maxBytes?: number | undefined;
  /** Decides a check that has a `requestId`; absent where none has one. */
  checkOnce?: typeof checkOnce | undefined;
  /** Called in the turn in which everything on disk is deleted, since nothing is live. */
  onCleared?: () => void;
}

export class Owner {
  readonly #options: OwnerOptions;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #checkpoint: Checkpoint;
  readonly #schedule: Schedule;
  readonly #durable: DurableRows;
  readonly #inexact: InexactCounts;
  readonly #resets = new RecentResets();
  #epoch = 0;

  constructor(options: OwnerOptions) {
    const { runtime, storage, maxBytes, onCleared = () => {}, onEvicted } = options;
    this.#options = options;
    this.#clock = new Clock(runtime);
    const counters = new Counters({
      maxBytes,
      onChange: (table, key) => this.#schedule.change(table, key),
      onDrop: (table) => this.#checkpoint.drop(table),
      onBlock: (policy, key) => {
        if (policy.durable) this.#durable.add(blocksName(policy), key);
      },
    });
    const checkpoint = new Checkpoint(storage);
    const now = () => this.now();
    this.#counters = counters;
    this.#checkpoint = checkpoint;
    const hold = (writing: Promise<unknown>) => this.#durable.holdFor(writing);
    const all = { counters, checkpoint, storage, runtime, now, onCleared, hold, onEvicted };
    const schedule = new Schedule(all);
    this.#schedule = schedule;
    this.#durable = new DurableRows({ counters, checkpoint, schedule });
    this.#inexact = new InexactCounts(counters.tables);
  }

  /** Rows of all tables, expired ones and marks of ring changes included. */
  get keys(): number {
    return this.#counters.tables.size;
  }

  /**
   * Resolves when what must be on disk before an answer is there: what durable policies counted and
   * operators did, which rejects if it can't be written, and the mark that tells of a crash, which
   * never rejects. Undefined if nothing is on its way there.
   */
  get written(): Promise<unknown> | undefined {
    return this.#durable.written;
  }

  /** Reads what is on disk. To be awaited before anything else is called. */
  async load(): Promise<void> {
    let found: Found = { isDamaged: true, isCrash: false };
    try {
      const tables = new Map<string, CounterTable>();
      found = await this.#checkpoint.read(tables);
      if (found.isDamaged) log("error", "checkpoint-damaged");
      for (const [name, table] of tables) this.#counters.tables.addTable(name, table);
    } catch (error) {
      // A read that fails may succeed later. Only what makes no sense is thrown away.
      if (!(error instanceof InvalidError)) throw error;
      log("error", "checkpoint-refused", { detail: String(error) });
      await this.#checkpoint.clear();
    }
    const { head } = this.#checkpoint;
    const nowMs = this.now(head.clockMs);
    // Higher than before the restart, unless over 1,000 epochs a second began then.
    this.#epoch = nowMs;
    this.#resets.begin(nowMs);
    if (found.isDamaged) head.lostMs = nowMs;
    if (found.isCrash) head.crashedMs = nowMs;
    this.#inexact.load();
    this.#counters.holds.load();
    this.#inexact.noteDisk(head);
    await this.#schedule.begin(found);
  }

  /** Decides checks in order, all at one time; see {@link Counters.check}. */
  check(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    const answer = this.#newAnswer(batch, atMs);
    answer.verdicts = batch.map((check, at) => {
      const { key, spentAtMs } = check;
      if (spentAtMs !== undefined && this.#resets.isSince(key, spentAtMs)) {
        answer.ended ??= [];
        answer.ended[at] = true;
      }
      const once = check.requestId === undefined ? undefined : this.#options.checkOnce;
      const each = once?.(this.#counters, check, atMs) ?? this.#counters.check(check, atMs);
      if (each.every(({ allowed }) => allowed)) this.#durable.addCounted(check);
      return this.#counters.overrides.noteLimits(check, each, atMs);
    });
    this.#durable.append();
    return answer;
  }

  /** Answers as `check` would, spending nothing. */
  peek(batch: readonly Check[]): Answer {
    const atMs = this.now();
    const answer = this.#newAnswer(batch, atMs);
    answer.verdicts = batch.map((check) => {
      const each = this.#counters.peek(check, atMs);
      return this.#counters.overrides.noteLimits(check, each, atMs);
    });
    return answer;
  }

  /** Gives back what checks spent, or settles holds, and answers as `peek` would then. */
  refund(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    const was = batch.map((each) => {
      const { settle } = each;
      const settled = settle && this.#counters.settle(each, settle, atMs);
      // Most refunds end no denial. If each began an epoch, callers would soon trust nothing that
      // they remember of this owner.
      if (settled ? settled.frees : this.#counters.refund(each, atMs)) this.beginEpoch();
      this.#durable.addCounted(each);
      return settled?.was;
    });
    this.#durable.append();
    return { ...this.peek(batch), ...(was.some(Boolean) && { was }) };
  }

  /** Forgets what each key spent under its policies, and answers as `peek` would. */
  reset(batch: readonly Check[]): Answer {
    const nowMs = this.now();
    this.beginEpoch();
    for (const each of batch) {
      const { key, policies } = each;
      this.#counters.reset(each);
      this.#resets.add(key, nowMs);
      for (const policy of policies) {
        this.#durable.add(tableName(policy), key);
        this.#durable.add(blocksName(policy), key);
      }
    }
    this.#durable.append();
    return this.peek(batch);
  }

  /** Denies a key everything for `durationMs`. An earlier block that lasts longer stays. */
  block(key: KeyHash, durationMs: number): void {
    this.#operate(key, (nowMs) => this.#counters.block(key, nowMs + durationMs));
  }

  unblock(key: KeyHash): void {
    this.#operate(key, () => this.#counters.unblock(key));
  }

  /** Gives a key another limit for `durationMs`, or with null the policy's own; see `Overrides`. */
  override(key: KeyHash, policy: CounterPolicy, limit: number | null, durationMs: number): void {
    this.#operate(key, (nowMs) => {
      // A lease has units of the limit before.
      this.#resets.add(key, nowMs);
      return this.#counters.overrides.set(key, policy, limit, nowMs + durationMs, nowMs);
    });
  }

  /** Says why the owner decides on a key as it does. `blockedMs` is 0 unless the key is blocked. */
  explain(check: Check): { blockedMs: number; policies: Explanation[] } {
    const nowMs = this.now();
    return {
      blockedMs: this.#counters.blockedMs(check.key, nowMs),
      policies: this.#counters.explain(check, nowMs),
    };
  }

  /** All rows by the name of their table, those of ring changes included. */
  get tables(): ReadonlyMap<string, CounterTable> {
    return this.#counters.tables.byName;
  }

  /** Puts a row in place for a ring change: what another owner counted, or a mark. */
  putRow(table: string, key: KeyHash, state: State): void {
    this.#counters.tables.set(table, key, state);
    if (this.tables.get(table)?.kind === "hold") this.#counters.holds.noteRow(state);
    this.#schedule.hasImports = true;
    this.#inexact.noteRow(table, state);
  }

  removeRow(table: string, key: KeyHash): void {
    this.#counters.tables.delete(table, key);
  }

  dropTable(name: string): void {
    this.#counters.tables.dropTable(name);
  }

  /** Notes that a key is counted anew, since its counts got lost. */
  addInexact(key: KeyHash): void {
    const nowMs = this.now();
    this.putRow(INEXACT, key, [nowMs + MAX_LOSS_AGE_MS, nowMs]);
  }

  /** What got lost on disk and may be among what this owner exports; undefined if nothing. */
  get diskLosses(): DiskLosses | undefined {
    const { lostMs, crashedMs } = this.#checkpoint.head;
    return lostMs + crashedMs > 0 ? { lostMs, crashedMs } : undefined;
  }

  /** Takes over the losses of an owner whose keys were imported. They make every key here inexact. */
  addDiskLosses({ lostMs, crashedMs }: DiskLosses): void {
    const { head } = this.#checkpoint;
    head.lostMs = Math.max(head.lostMs, lostMs);
    head.crashedMs = Math.max(head.crashedMs, crashedMs);
    this.#inexact.noteDisk(head);
    this.#schedule.hasImports = true;
  }

  /** Notes which counts of more than one key got lost, in place of those noted before. */
  setLosses(losses: readonly Loss[]): void {
    this.#inexact.setLosses(losses);
  }

  /** Writes what changed. What is written after this call reaches the disk no earlier. */
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

  /** To be called when the alarm goes off: removes what has expired. */
  wake(): Promise<void> {
    return this.#schedule.wake();
  }

  /** To be called when a denial or a lease that callers remember may end early: they ask again. */
  beginEpoch(): void {
    this.#epoch++;
  }

  /** As in {@link Clock}. */
  now(leastMs?: number): number {
    return this.#clock.now(leastMs);
  }

  /** @param act returns the names of the tables in which the key's rows have changed */
  #operate(key: KeyHash, act: (nowMs: number) => string[]): void {
    const nowMs = this.now();
    this.beginEpoch();
    for (const table of act(nowMs)) this.#durable.add(table, key);
    this.#durable.append();
  }

  #newAnswer(batch: readonly Check[], atMs: number): Answer {
    if (this.#counters.holds.hasEnded(atMs)) this.beginEpoch();
    const answer: Answer = { atMs, epoch: this.#epoch, verdicts: [] };
    const inexact = this.#inexact.of(batch, atMs);
    return inexact ? { ...answer, inexact } : answer;
  }
}
