/**
 * The counters an owner holds, and the verbs on them. No clock, no I/O, no `await`: a check is
 * decided and spent in one go, which is what makes the count exact.
 *
 * The fallback in the caller's isolate counts with this same class.
 */
import type { Verdict } from "../limit/decision.ts";
import { fixedWindow } from "../limit/fixed-window.ts";
import type { Policy } from "../limit/policy.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { CounterTable } from "./counter-table.ts";

/** What an owner needs to know of a policy. */
export type CounterPolicy = Pick<Policy, "name" | "algorithm" | "limit" | "windowMs">;

/** One question to an owner: may this key spend `cost` under all of these policies? */
export interface Check {
  key: KeyHash;
  /** Units, a whole number from 1 to the least of the limits. */
  cost: number;
  /** At least one, with distinct names. */
  policies: readonly CounterPolicy[];
}

export class Counters {
  /** A table for each policy, by the name that `tableName` gives it. */
  readonly tables = new Map<string, CounterTable>();

  get size(): number {
    let size = 0;
    for (const table of this.tables.values()) size += table.size;
    return size;
  }

  /**
   * Spends the cost under all the policies, or, if one of them denies, under none.
   *
   * @returns a verdict for each policy, in order
   */
  check(check: Check, nowMs: number): Verdict[] {
    const { key, cost, policies } = check;
    const outcomes = policies.map((policy) =>
      fixedWindow(this.#find(policy)?.get(key), policy, nowMs, cost),
    );
    if (!outcomes.every(({ allowed }) => allowed)) return this.peek(check, nowMs);
    return outcomes.map(({ state, ...verdict }, index) => {
      if (state) this.#table(policies[index] as CounterPolicy).set(key, state);
      return verdict;
    });
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek({ key, cost, policies }: Check, nowMs: number): Verdict[] {
    return policies.map((policy) => {
      const state = this.#find(policy)?.get(key);
      const { allowed, retryAfterMs } = fixedWindow(state, policy, nowMs, cost);
      const { remaining, resetMs, delayMs } = fixedWindow(state, policy, nowMs, 0);
      return { allowed, remaining, resetMs, retryAfterMs, delayMs };
    });
  }

  /** Forgets what the key spent under these policies. */
  reset({ key, policies }: Pick<Check, "key" | "policies">): void {
    for (const policy of policies) this.#find(policy)?.delete(key);
  }

  /** Removes what can no longer matter. */
  sweep(nowMs: number): void {
    for (const [name, table] of this.tables) {
      table.sweep(nowMs);
      if (table.size === 0) this.tables.delete(name);
    }
  }

  #find(policy: CounterPolicy): CounterTable | undefined {
    return this.tables.get(tableName(policy));
  }

  #table(policy: CounterPolicy): CounterTable {
    const name = tableName(policy);
    const table = this.tables.get(name) ?? new CounterTable();
    this.tables.set(name, table);
    return table;
  }
}

/**
 * A policy whose limit changes goes on with what is counted; one whose algorithm or window changes
 * starts anew, since its old state would mean something else.
 */
function tableName({ name, algorithm, windowMs }: CounterPolicy): string {
  return `${algorithm}/${windowMs}/${name}`;
}
