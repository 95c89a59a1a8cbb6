/** The process that owns counters: the verbs on what it counts, and what they answer. */
import type { checkOnce } from "../counters/answers.ts";
import type { Check, CounterPolicy, Explanation, Refund } from "../counters/check.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { RecentResets } from "./recent-resets.ts";
import { StoredCounters, type StoredCountersOptions } from "./stored-counters.ts";

export interface OwnerOptions extends StoredCountersOptions {
  /** Decides a check that has a `requestId`; absent if no check has one. */
  checkOnce?: typeof checkOnce | undefined;
}

export class Owner extends StoredCounters {
  readonly #checkOnce: OwnerOptions["checkOnce"];
  readonly #resets = new RecentResets();
  #epoch = 0;

  constructor({ checkOnce, ...options }: OwnerOptions) {
    super(options);
    this.#checkOnce = checkOnce;
  }

  override async load(): Promise<void> {
    await super.load();
    const nowMs = this.now();
    // Higher than any epoch before the restart, unless over 1,000 began in each second.
    this.#epoch = nowMs;
    this.#resets.begin(nowMs);
  }

  /** Decides checks in order, all at the same time on the clock; see {@link Counters.check}. */
  check(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    const answer = this.#newAnswer(batch, atMs);
    answer.verdicts = batch.map((check, at) => {
      const { key, spentAtMs } = check;
      if (spentAtMs !== undefined && this.#resets.isSince(key, spentAtMs)) {
        answer.ended ??= [];
        answer.ended[at] = true;
      }
      const once = check.requestId === undefined ? undefined : this.#checkOnce;
      const each = once?.(this.counters, check, atMs) ?? this.counters.check(check, atMs);
      if (each.every(({ allowed }) => allowed)) this.durable.noteCounted(check);
      return this.counters.overrides.noteLimits(check, each, atMs);
    });
    this.durable.write();
    return answer;
  }

  /** Answers as `check` would, spending nothing. */
  peek(batch: readonly Check[]): Answer {
    const atMs = this.now();
    const answer = this.#newAnswer(batch, atMs);
    answer.verdicts = batch.map((check) => {
      const each = this.counters.peek(check, atMs);
      return this.counters.overrides.noteLimits(check, each, atMs);
    });
    return answer;
  }

  /** Gives back what checks spent, or settles holds, and answers as `peek` would then. */
  refund(batch: readonly Refund[]): Answer {
    const atMs = this.now();
    const was = batch.map((each) => {
      const { settle } = each;
      const settled = settle && this.counters.settle(each, settle, atMs);
      // Most refunds end no denial. If each began an epoch, callers would soon trust nothing that
      // they remember of this owner.
      if (settled ? settled.frees : this.counters.refund(each, atMs)) this.beginEpoch();
      this.durable.noteCounted(each);
      return settled?.was;
    });
    this.durable.write();
    return { ...this.peek(batch), ...(was.some(Boolean) && { was }) };
  }

  /** Forgets what each key spent under its policies, and answers as `peek` would. */
  reset(batch: readonly Check[]): Answer {
    const nowMs = this.now();
    this.beginEpoch();
    for (const each of batch) {
      this.counters.reset(each);
      this.#resets.add(each.key, nowMs);
    }
    this.durable.note();
    this.durable.write();
    return this.peek(batch);
  }

  /** Denies a key everything for `durationMs`. An earlier block that lasts longer stays. */
  block(key: KeyHash, durationMs: number): void {
    this.#operate((nowMs) => this.counters.block(key, nowMs + durationMs));
  }

  unblock(key: KeyHash): void {
    this.#operate(() => this.counters.unblock(key));
  }

  /** Gives a key another limit for `durationMs`, or with null the policy's own; see `Overrides`. */
  override(key: KeyHash, policy: CounterPolicy, limit: number | null, durationMs: number): void {
    this.#operate((nowMs) => {
      // A lease holds units of the previous limit.
      this.#resets.add(key, nowMs);
      this.counters.overrides.set(key, policy, limit, nowMs + durationMs, nowMs);
    });
  }

  /** Says why the owner decides on a key as it does. `blockedMs` is 0 unless the key is blocked. */
  explain(check: Check): { blockedMs: number; policies: Explanation[] } {
    const nowMs = this.now();
    return {
      blockedMs: this.counters.blockedMs(check.key, nowMs),
      policies: this.counters.explain(check, nowMs),
    };
  }

  /** Makes callers ask again: a denial or a lease that they remember may end early. */
  beginEpoch(): void {
    this.#epoch++;
  }

  #operate(act: (nowMs: number) => void): void {
    const nowMs = this.now();
    this.beginEpoch();
    act(nowMs);
    this.durable.note();
    this.durable.write();
  }

  #newAnswer(batch: readonly Check[], atMs: number): Answer {
    if (this.counters.holds.hasEnded(atMs)) this.beginEpoch();
    const answer: Answer = { atMs, epoch: this.#epoch, verdicts: [] };
    const inexact = this.inexact.of(batch, atMs);
    return inexact ? { ...answer, inexact } : answer;
  }
}
