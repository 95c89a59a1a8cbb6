/**
 * The counters an owner holds, and the verbs on them. No clock, no I/O, no `await`: a check is
 * decided and spent in one go, which is what makes the count exact.
 *
 * The fallback in the caller's isolate counts with this same class.
 */
import type { Outcome, Quota } from "../limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName } from "../limit/algorithms.ts";
import type { Verdict } from "../limit/decision.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { CounterTable } from "./counter-table.ts";
import { LogTable } from "./log-table.ts";

/** What an owner needs to know of a policy. */
export interface CounterPolicy extends Quota {
  name: string;
  algorithm: AlgorithmName;
  /** Units, a whole number from 1 to `capacity`. */
  cost: number;
  /** Decided and counted, never enforced. */
  shadow: boolean;
  /** Written through before it is answered. */
  durable: boolean;
}

/** One question to an owner: may this key spend what all of these policies cost? */
export interface Check {
  key: KeyHash;
  /** At least one, with distinct names. */
  policies: readonly CounterPolicy[];
}

/** What was spent by a check, given back. */
export interface Refund extends Check {
  /** The owner's clock when it was spent; absent where that is not known. */
  spentAtMs?: number | undefined;
}

/** Why a policy decides as it does about one key. */
export interface Explanation {
  policy: string;
  algorithm: AlgorithmName;
  limit: number;
  windowMs: number;
  remaining: number;
  /** What is stored, in words. */
  state: string;
  /** What is stored, as it is; null where nothing is. */
  stored: readonly number[] | null;
  /** Milliseconds until one unit more could be spent than now; 0 if all could. */
  nextUnitMs: number;
}

export type Table = CounterTable | LogTable;

/** The table of blocked keys, whose states are the time when the block ends. */
export const BLOCKED = "blocked";

/** How many numbers a state has, where it is always as many. */
const STATE_NUMBERS: Partial<Record<string, number>> = {
  "fixed-window": 2,
  "sliding-window": 3,
  "token-bucket": 2,
  "leaky-bucket": 2,
  [BLOCKED]: 1,
};

export class Counters {
  /** A table for each policy, by the name that `tableName` gives it, and the blocked keys. */
  readonly tables = new Map<string, Table>();

  get size(): number {
    let size = 0;
    for (const table of this.tables.values()) size += table.size;
    return size;
  }

  /**
   * Spends under all the policies, or, if one that is enforced denies, under none.
   *
   * @returns a verdict for each policy, in order
   */
  check(check: Check, nowMs: number): Verdict[] {
    const { key, policies } = check;
    if (this.blockedMs(key, nowMs) > 0) return this.peek(check, nowMs);
    const outcomes = policies.map((policy) => this.#decide(key, policy, nowMs, policy.cost));
    const passes = outcomes.every(({ allowed }, at) => allowed || policies[at]?.shadow);
    if (!passes) return this.peek(check, nowMs);
    return outcomes.map((outcome, at) => {
      const policy = policies[at] as CounterPolicy;
      const { state, ...verdict } = outcome;
      if (state) tableOf(this.tables, tableName(policy)).set(key, state);
      return enforced(policy, verdict);
    });
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek({ key, policies }: Check, nowMs: number): Verdict[] {
    const blockedMs = this.blockedMs(key, nowMs);
    return policies.map((policy) => {
      const { allowed, retryAfterMs, delayMs } = this.#decide(key, policy, nowMs, policy.cost);
      const { remaining, resetMs } = this.#decide(key, policy, nowMs, 0);
      if (blockedMs === 0) {
        return enforced(policy, { allowed, remaining, resetMs, retryAfterMs, delayMs });
      }
      return {
        allowed: false,
        remaining,
        resetMs,
        retryAfterMs: Math.max(retryAfterMs, blockedMs),
        delayMs: 0,
        reason: "blocked",
      };
    });
  }

  /** Gives back what a check spent, never more than is spent now. */
  refund({ key, policies, spentAtMs }: Refund, nowMs: number): void {
    for (const policy of policies) {
      const table = this.tables.get(tableName(policy));
      const before = table?.get(key);
      if (!table || !before) continue;
      const algorithm = ALGORITHMS[policy.algorithm];
      const after = algorithm.refund(before, policy, nowMs, policy.cost, spentAtMs);
      if (after) table.set(key, after);
      else table.delete(key);
    }
  }

  /** Forgets what the key spent under these policies. */
  reset({ key, policies }: Check): void {
    for (const policy of policies) this.tables.get(tableName(policy))?.delete(key);
  }

  /** Denies the key everything until then; an earlier block that ends later stays. */
  block(key: KeyHash, untilMs: number): void {
    const table = tableOf(this.tables, BLOCKED);
    table.set(key, [Math.max(untilMs, table.get(key)?.[0] ?? 0)]);
  }

  unblock(key: KeyHash): void {
    this.tables.get(BLOCKED)?.delete(key);
  }

  /** For how long the key is still blocked; 0 if it is not. */
  blockedMs(key: KeyHash, nowMs: number): number {
    return Math.max(0, (this.tables.get(BLOCKED)?.get(key)?.[0] ?? 0) - nowMs);
  }

  explain({ key, policies }: Check, nowMs: number): Explanation[] {
    return policies.map((policy) => {
      const { name, algorithm, limit, windowMs, capacity } = policy;
      const stored = this.tables.get(tableName(policy))?.get(key);
      const { remaining } = this.#decide(key, policy, nowMs, 0);
      return {
        policy: name,
        algorithm,
        limit,
        windowMs,
        remaining,
        state: ALGORITHMS[algorithm].describe(stored, policy, nowMs),
        stored: stored ?? null,
        nextUnitMs:
          remaining >= capacity ? 0 : this.#decide(key, policy, nowMs, remaining + 1).retryAfterMs,
      };
    });
  }

  /** Removes what can no longer matter. */
  sweep(nowMs: number): void {
    for (const [name, table] of this.tables) {
      table.sweep(nowMs);
      if (table.size === 0) this.tables.delete(name);
    }
  }

  #decide(key: KeyHash, policy: CounterPolicy, nowMs: number, cost: number): Outcome {
    const state = this.tables.get(tableName(policy))?.get(key);
    return ALGORITHMS[policy.algorithm].decide(state, policy, nowMs, cost);
  }
}

/** Makes the table that a name asks for, from the bytes that one like it gave. */
export function newTable(name: string, bytes?: Uint8Array<ArrayBuffer>): Table {
  const [kind = ""] = name.split("/");
  const stateNumbers = STATE_NUMBERS[kind];
  return stateNumbers ? new CounterTable(stateNumbers, bytes) : new LogTable(bytes);
}

/**
 * A policy whose limit changes goes on with what is counted; one whose algorithm or window changes
 * starts anew, since its old state would mean something else.
 */
export function tableName({ name, algorithm, windowMs }: CounterPolicy): string {
  return `${algorithm}/${windowMs}/${name}`;
}

export function tableOf(tables: Map<string, Table>, name: string): Table {
  const table = tables.get(name) ?? newTable(name);
  tables.set(name, table);
  return table;
}

/** The verdict as it is to be acted on: a shadow's denial is told and not enforced. */
function enforced({ shadow }: CounterPolicy, verdict: Omit<Verdict, "reason">): Verdict {
  if (verdict.allowed) return { ...verdict, reason: "ok" };
  if (shadow) return { ...verdict, allowed: true, retryAfterMs: 0, reason: "shadow" };
  return { ...verdict, reason: "limited" };
}
