/**
 * What one policy decides on one key now, and what it spends: the step that all verbs on counters
 * are made of.
 */
import type { Outcome, State } from "../limit/algorithm.ts";
import { type BlockFor, blockLeftMs, nextBlock } from "../limit/block-for.ts";
import type { Verdict } from "../limit/decision.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, CounterPolicy } from "./check.ts";
import { toVerdict, UNLIMITED_OUTCOME, zeroLimitOutcome } from "./outcomes.ts";
import { blocksName } from "./table-name.ts";
import type { Tables } from "./tables.ts";

export class Decisions {
  readonly #tables: Tables;
  readonly #onBlock: (policy: CounterPolicy) => unknown;

  /** @param onBlock called after a policy has blocked a key */
  constructor(tables: Tables, onBlock: (policy: CounterPolicy) => unknown) {
    this.#tables = tables;
    this.#onBlock = onBlock;
  }

  /** Returns true if a check would pass under this policy; in shadow it always does. */
  passes(key: KeyHash, policy: CounterPolicy, nowMs: number): boolean {
    return policy.shadow || this.decide(key, policy, nowMs, policy.cost).allowed;
  }

  /** Decides, and spends if the check passes. */
  spend(key: KeyHash, policy: CounterPolicy, nowMs: number): Verdict {
    let outcome = this.decide(key, policy, nowMs, policy.cost);
    if (outcome.allowed && outcome.state) {
      const { name, table } = this.#tables.tableFor(policy);
      this.#tables.setWithin(name, key, outcome.state, nowMs, table);
    }
    if (!outcome.allowed && policy.blockFor && !outcome.blocked) {
      this.#block(key, policy, nowMs, outcome.retryAfterMs);
      outcome = this.decide(key, policy, nowMs, policy.cost);
    }
    return toVerdict(policy, outcome);
  }

  /** Blocks the key under each denying policy, unless an enforced one blocks it already. */
  blockDenied({ key, policies }: Check, nowMs: number): void {
    const denying = policies.flatMap((policy) => {
      if (!policy.blockFor) return [];
      const outcome = this.decide(key, policy, nowMs, policy.cost);
      return outcome.allowed ? [] : { policy, outcome };
    });
    if (denying.some(({ policy, outcome }) => outcome.blocked && !policy.shadow)) return;
    for (const { policy, outcome } of denying) {
      if (!outcome.blocked) this.#block(key, policy, nowMs, outcome.retryAfterMs);
    }
  }

  /** Returns the policy's last block on the key, which may be over; undefined without one. */
  blockOf(policy: CounterPolicy, key: KeyHash): State | undefined {
    return this.#tables.get(blocksName(policy), key);
  }

  /** Decides without spending; the outcome has the state that would be stored. */
  decide(key: KeyHash, policy: CounterPolicy, nowMs: number, cost: number): Outcome {
    const { limit, blockFor, capacity, isUnlimited } = policy;
    if (limit === 0 || blockFor || cost > capacity || isUnlimited)
      return this.#decideRareCase(key, policy, nowMs, cost);
    const { algorithm, table } = this.#tables.tableFor(policy);
    return algorithm.decide(table?.get(key), policy, nowMs, cost);
  }

  /** Decides the rare cases, apart from the fast path. */
  #decideRareCase(key: KeyHash, policy: CounterPolicy, nowMs: number, cost: number): Outcome {
    if (policy.isUnlimited) return UNLIMITED_OUTCOME;
    const { algorithm, table } = this.#tables.tableFor(policy);
    const { windowMs, capacity } = policy;
    // Happens in shadow, under a lower override, and when `CostlyChecks` asks for the limit.
    const isTooMuch = cost > capacity;
    const decided =
      policy.limit === 0
        ? zeroLimitOutcome(policy, nowMs)
        : algorithm.decide(table?.get(key), policy, nowMs, isTooMuch ? 0 : cost);
    const outcome =
      isTooMuch && capacity > 0 ? { ...decided, allowed: false, retryAfterMs: windowMs } : decided;
    const leftMs = policy.blockFor ? blockLeftMs(this.blockOf(policy, key), nowMs) : 0;
    if (leftMs === 0) return outcome;
    return {
      allowed: false,
      remaining: 0,
      resetMs: Math.max(outcome.resetMs, leftMs),
      retryAfterMs: Math.max(outcome.retryAfterMs, leftMs),
      delayMs: 0,
      state: undefined,
      blocked: true,
    };
  }

  #block(key: KeyHash, policy: CounterPolicy, nowMs: number, retryAfterMs: number): void {
    const before = this.blockOf(policy, key);
    // Most likely a slot is free long before its window ends, so its wait does not count.
    const waitMs = policy.algorithm === "concurrency" ? 0 : retryAfterMs;
    const block = nextBlock(before, policy.blockFor as BlockFor, nowMs, waitMs);
    this.#tables.setWithin(blocksName(policy), key, block, nowMs);
    this.#onBlock(policy);
  }
}
