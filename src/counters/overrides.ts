/**
 * Overrides: limits that operators give single keys in place of a policy's own.
 *
 * A row lives beside the key's counts: it moves with the key, and no flood of keys evicts it. An
 * owner without overrides compares one number for each check.
 *
 * What is counted stays counted. An unlimited key passes uncounted, so that nothing is owed once
 * the override ends. A bucket's capacity changes in proportion to the limit. Its weakness: once an
 * override ends by itself, a bucket keeps its proportion: 10 of 20 left become 5 of 10.
 */
import type { State } from "../limit/algorithm.ts";
import { level, overfill } from "../limit/bucket.ts";
import type { Verdict } from "../limit/decision.ts";
import { spoken } from "../limit/duration.ts";
import { UNLIMITED } from "../limit/override.ts";
import { mostUnits } from "../limit/policy.ts";
import { MAX_UNITS } from "../limit/policy-schema.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, CounterPolicy } from "./check.ts";
import { blocksName, overridesName } from "./table-name.ts";
import type { Tables } from "./tables.ts";

/** The most overrides at one owner, as rows in memory that nothing evicts: about 12 MB. */
const MAX_OVERRIDES = 50_000;

/** When it ends, ms since the epoch, and the limit; infinite if the key is unlimited. */
type OverrideState = readonly [untilMs: number, limit: number];

export class Overrides {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Returns the check under the limits that are in force for its key. */
  apply<Asked extends Check>(check: Asked, nowMs: number): Asked {
    if (this.#tables.overrides.size === 0) return check;
    const { key, policies } = check;
    if (!policies.some((policy) => this.#find(policy, key, nowMs))) return check;
    return { ...check, policies: policies.map((policy) => this.#inForce(policy, key, nowMs)) };
  }

  /**
   * Adds to each verdict the limit of the key's override. Under an override that lowers the limit,
   * no wait outlasts it.
   */
  noteLimits({ key, policies }: Check, verdicts: Verdict[], nowMs: number): Verdict[] {
    if (this.#tables.overrides.size === 0) return verdicts;
    return verdicts.map((verdict, at) => {
      const policy = policies[at] as CounterPolicy;
      const found = this.#find(policy, key, nowMs);
      if (!found) return verdict;
      const [untilMs, limit] = found;
      const isWait = verdict.reason === "limited" && limit < policy.limit;
      const retryAfterMs = Math.min(verdict.retryAfterMs, isWait ? untilMs - nowMs : Infinity);
      return { ...verdict, retryAfterMs, limit: Math.min(limit, MAX_UNITS) };
    });
  }

  /**
   * Gives a key another limit, or with null the policy's own again. A higher limit ends the block
   * that the policy has put on the key.
   *
   * @throws {Error} if the owner has `MAX_OVERRIDES` already
   */
  set(
    key: KeyHash,
    policy: CounterPolicy,
    limit: number | null,
    untilMs: number,
    nowMs: number,
  ): void {
    const name = overridesName(policy);
    const before = this.#find(policy, key, nowMs)?.[1] ?? policy.limit;
    const from = this.#inForce(policy, key, nowMs);
    if (limit === null) this.#tables.delete(name, key);
    else {
      this.#makeSureOfRoom(name, key);
      this.#tables.set(name, key, [untilMs, limit]);
    }
    if ((limit ?? policy.limit) > before) this.#tables.delete(blocksName(policy), key);
    this.#keepUnits(key, from, this.#inForce(policy, key, nowMs), nowMs);
  }

  /** Returns the override of a key in numbers and in words, and the limit to show. */
  describe(policy: CounterPolicy, key: KeyHash, nowMs: number) {
    const found = this.#find(policy, key, nowMs);
    if (!found) return { words: "" };
    const leftMs = found[0] - nowMs;
    const limit = found[1] === UNLIMITED ? ("unlimited" as const) : found[1];
    const words = `; limit ${limit} by an override for ${spoken(leftMs)} more`;
    return { limit: Math.min(found[1], MAX_UNITS), override: { limit, leftMs }, words };
  }

  #find(policy: CounterPolicy, key: KeyHash, nowMs: number): OverrideState | undefined {
    const state = this.#tables.overrides.get(policy.name)?.get(key);
    return state && state[0] > nowMs ? (state as State as OverrideState) : undefined;
  }

  #inForce(policy: CounterPolicy, key: KeyHash, nowMs: number): CounterPolicy {
    const found = this.#find(policy, key, nowMs);
    return found ? withLimit(policy, found[1]) : policy;
  }

  #makeSureOfRoom(name: string, key: KeyHash): void {
    if (this.#tables.get(name, key)) return;
    let size = 0;
    for (const table of this.#tables.overrides.values()) size += table.size;
    if (size < MAX_OVERRIDES) return;
    throw new Error(`an owner keeps at most ${MAX_OVERRIDES} overrides`);
  }

  /**
   * Keeps the units in a bucket when its limit changes. A bucket's state is a time, which means
   * more units under a higher limit. All other states count units.
   */
  #keepUnits(key: KeyHash, from: CounterPolicy, to: CounterPolicy, nowMs: number): void {
    const { name, table } = this.#tables.tableFor(to);
    const state = table?.get(key);
    const isChanged = from.limit !== to.limit && from.limit > 0 && to.limit > 0;
    if (!state || !isChanged || !to.algorithm.endsWith("bucket")) return;
    const before = Math.ceil(level(state, from, nowMs) / from.windowMs);
    // A bucket stays above its capacity only if it was above it before the change.
    const units = before > from.capacity ? before : Math.min(before, to.capacity);
    if (units > 0) this.#tables.set(name, key, overfill(undefined, to, nowMs, units), table);
  }
}

/** Returns the policy under the limit of an override, infinite if the key is unlimited. */
export function withLimit(policy: CounterPolicy, limit: number): CounterPolicy {
  if (limit === UNLIMITED) return { ...policy, isUnlimited: true };
  const most = mostUnits(policy.algorithm, policy.windowMs);
  const units = Math.min(limit, most);
  const share = policy.limit > 0 ? policy.capacity / policy.limit : 1;
  const capacity = Math.min(most, Math.max(Math.sign(units), Math.round(units * share)));
  return { ...policy, limit: units, capacity };
}
