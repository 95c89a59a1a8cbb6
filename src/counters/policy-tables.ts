/**
 * Which policy is counted in which table, and whether it denies a key in its table.
 *
 * A policy's table is remembered, since building the table's name costs as much as a check.
 */
import type { Algorithm, State } from "../limit/algorithm.ts";
import { algorithmOf } from "../limit/algorithms.ts";
import { blockLeftMs } from "../limit/block-for.ts";
import type { CounterPolicy } from "./check.ts";
import type { CounterTable } from "./counter-table.ts";
import type { NamedTable } from "./eviction.ts";
import { nextEndMs } from "./hold-rows.ts";
import { policyNameOf, tableName } from "./table-name.ts";

/** A policy as it was last asked for, and where it is counted. */
export interface PolicyTable {
  policy: CounterPolicy;
  algorithm: Algorithm;
  name: string;
  /** Absent until something is counted. */
  table: CounterTable | undefined;
}

export class PolicyTables {
  readonly #byName: ReadonlyMap<string, CounterTable>;
  /** The policies that have tables, by their names. */
  readonly #policies = new Map<string, PolicyTable>();
  /** The policy asked for last: most checks of a batch have the same one. */
  #last: PolicyTable | undefined;

  /** @param byName all tables */
  constructor(byName: ReadonlyMap<string, CounterTable>) {
    this.#byName = byName;
  }

  /** Returns where a policy is counted. */
  tableFor(policy: CounterPolicy): PolicyTable {
    if (this.#last?.policy === policy) return this.#last;
    let found = this.#policies.get(policy.name);
    if (!found || !isCountedAlike(found.policy, policy)) {
      const name = tableName(policy);
      const table = this.#byName.get(name);
      found = { policy, algorithm: algorithmOf(policy), name, table };
      // Not remembered: the policy may have a table by the next call.
      if (!table) return found;
      this.#policies.set(policy.name, found);
    }
    found.policy = policy;
    this.#last = found;
    return found;
  }

  /** Forgets a table that is gone. */
  dropTable(name: string, table: CounterTable): void {
    if (table === this.#last?.table) this.#last = undefined;
    const policyName = policyNameOf(name);
    if (table === this.#policies.get(policyName)?.table) this.#policies.delete(policyName);
  }

  /** Returns true if the table's policy denies one unit in this state, or if it is unknown. */
  denies([name, table]: NamedTable, state: State, nowMs: number): boolean {
    if (table.kind === "answer") return false;
    if (table.kind === "hold") return nextEndMs(state) > nowMs;
    if (table.kind === "block") return blockLeftMs(state, nowMs) > 0;
    const found = this.#policies.get(policyNameOf(name));
    if (found?.table !== table) return true;
    const { policy, algorithm } = found;
    return policy.limit === 0 || !algorithm.decide(state, policy, nowMs, 1).allowed;
  }
}

/** Returns true if both are counted in one table, by one algorithm. */
function isCountedAlike(one: CounterPolicy, other: CounterPolicy): boolean {
  return (
    one.algorithm === other.algorithm &&
    one.windowMs === other.windowMs &&
    one.start === other.start
  );
}
