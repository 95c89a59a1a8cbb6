/**
 * The counters that an owner holds, and the verbs on them. No clock, no I/O, no `await`: a check is
 * decided and spent in one go, which makes the count exact.
 *
 * The fallback in the caller's isolate counts with the same class.
 */
import type { Outcome, State } from "../limit/algorithm.ts";
import { algorithmOf } from "../limit/algorithms.ts";
import { type BlockFor, blockLeftMs, nextBlock } from "../limit/block-for.ts";
import type { Verdict } from "../limit/decision.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, CounterPolicy, Explanation, Refund, Settlement } from "./check.ts";
import { deniedFor, Holds } from "./holds.ts";
import { EVERYTHING, enforced, nothing } from "./outcomes.ts";
import { Overrides } from "./overrides.ts";
import { BLOCKED, blocksName, holdsName, tableName } from "./table-name.ts";
import { Tables, type TablesOptions } from "./tables.ts";

/** The most keys that operators block at one owner: 16 MB of rows, which leaves room to count. */
const MAX_BLOCKS = 1_000_000;

export interface CountersOptions extends TablesOptions {
  /** Called after a policy has blocked a key. */
  onBlock?: (policy: CounterPolicy, key: KeyHash) => void;
}

export class Counters {
  readonly tables: Tables;
  readonly holds: Holds;
  readonly overrides: Overrides;
  readonly #onBlock: (policy: CounterPolicy, key: KeyHash) => void;

  constructor({ onBlock = () => {}, ...options }: CountersOptions = {}) {
    this.tables = new Tables(options);
    this.overrides = new Overrides(this.tables);
    this.holds = new Holds(this.tables, (refund, nowMs) => this.#giveBack(refund, nowMs));
    this.#onBlock = onBlock;
  }

  /** Spends under all the policies, or, if one that is enforced denies, under none. */
  check(asked: Check, nowMs: number): Verdict[] {
    // Asked here, since a call that changes nothing would take a twentieth of the whole check.
    const isPlain = this.tables.overrides.size === 0;
    const check = isPlain ? asked : this.overrides.apply(asked, nowMs);
    const { key, policies, reserve } = check;
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    if (reserve) return this.#reserve(check, nowMs);
    if (policies[0]?.atMost) return this.#atMost("check", check, nowMs);
    if (this.blockedMs(key, nowMs) > 0) return this.peek(check, nowMs);
    // Most checks name one policy, which need not be asked beforehand whether it passes.
    if (policies.length === 1) return [this.#spend(key, policies[0] as CounterPolicy, nowMs)];
    const passes = policies.every((policy) => this.#passes(key, policy, nowMs));
    if (!passes) {
      this.#blockDenied(check, nowMs);
      return this.peek(check, nowMs);
    }
    return policies.map((policy) => this.#spend(key, policy, nowMs));
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(asked: Check, nowMs: number): Verdict[] {
    const check = this.overrides.apply(asked, nowMs);
    const { key, policies } = check;
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    if (policies[0]?.atMost) return this.#atMost("peek", check, nowMs);
    const blockedMs = this.blockedMs(key, nowMs);
    return policies.map((policy) => {
      const decided = this.#decide(key, policy, nowMs, policy.cost);
      const { remaining, resetMs } = this.#decide(key, policy, nowMs, 0);
      if (blockedMs === 0) return enforced(policy, { ...decided, remaining, resetMs });
      return {
        allowed: false,
        remaining,
        resetMs,
        retryAfterMs: Math.max(decided.retryAfterMs, blockedMs),
        delayMs: 0,
        reason: "blocked",
      };
    });
  }

  /**
   * Gives back what a check spent, never more than is spent now.
   *
   * @returns whether a denial that callers remember may end early, since nothing was left. A denial
   *   by `concurrency` does not count: callers never trust one.
   */
  refund(asked: Refund, nowMs: number): boolean {
    const refund = this.overrides.apply(asked, nowMs);
    if (this.holds.hasAny) this.holds.end(refund, nowMs);
    return this.#giveBack(refund, nowMs);
  }

  /** Replaces what a hold has spent by its actual cost; see {@link Holds.settle}. */
  settle(asked: Check, settlement: Settlement, nowMs: number) {
    const check = this.overrides.apply(asked, nowMs);
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    return this.holds.settle(check, settlement, nowMs);
  }

  #giveBack({ key, policies, spentAtMs, resetMs }: Refund, nowMs: number): boolean {
    let endsDenial = false;
    for (const policy of policies) {
      const { name, algorithm, table } = this.tables.tableFor(policy);
      const before = table?.get(key);
      if (!before || policy.limit === 0) continue;
      // Was not counted, unless it is a slot that was taken before.
      if (policy.isUnlimited && policy.algorithm !== "concurrency") continue;
      endsDenial ||=
        policy.algorithm !== "concurrency" && this.#decide(key, policy, nowMs, 0).remaining === 0;
      const after = algorithm.refund(before, policy, nowMs, policy.cost, spentAtMs, resetMs);
      if (after) this.tables.set(name, key, after, table);
      else this.tables.delete(name, key);
    }
    return endsDenial;
  }

  /** Forgets what the key spent under these policies, what it holds, and how they have blocked it. */
  reset({ key, policies }: Check): void {
    for (const policy of policies) {
      this.tables.delete(tableName(policy), key);
      this.tables.delete(holdsName(tableName(policy)), key);
      this.tables.delete(blocksName(policy), key);
    }
  }

  /**
   * Denies the key everything until `untilMs`. An earlier block that ends later stays.
   *
   * @returns the name of the table that has changed
   * @throws {Error} if there are as many blocks as an owner keeps, which are never evicted
   */
  block(key: KeyHash, untilMs: number): string[] {
    const state = this.tables.get(BLOCKED, key);
    if (!state && (this.tables.blocks?.size ?? 0) >= MAX_BLOCKS) {
      throw new Error(`an owner keeps at most ${MAX_BLOCKS} blocks: unblock some keys first`);
    }
    this.tables.set(BLOCKED, key, [Math.max(untilMs, state?.[0] ?? 0)]);
    return [BLOCKED];
  }

  /**
   * Ends all blocks of a key, by operators and by policies, as if it had never been denied.
   *
   * @returns the names of the tables that may have had one
   */
  unblock(key: KeyHash): string[] {
    const blocks = [...this.tables.byName].filter(([, { kind }]) => kind === "block");
    const names = blocks.map(([name]) => name);
    for (const name of names) this.tables.delete(name, key);
    return names;
  }

  /** How long an operator's block still lasts, in milliseconds; 0 without a block. */
  blockedMs(key: KeyHash, nowMs: number): number {
    return Math.max(0, (this.tables.blocks?.get(key)?.[0] ?? 0) - nowMs);
  }

  explain(asked: Check, nowMs: number): Explanation[] {
    const check = this.overrides.apply(asked, nowMs);
    const { key, policies } = check;
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    return policies.map((policy) => {
      const { name, algorithm, windowMs, capacity } = policy;
      const {
        limit = policy.limit,
        words: unlike,
        ...override
      } = this.overrides.describe(policy, key, nowMs);
      const stored = this.tables.tableFor(policy).table?.get(key);
      const { remaining } = this.#decide(key, policy, nowMs, 0);
      const blockedMs = blockLeftMs(this.#blockOf(policy, key), nowMs);
      const block = policy.blockFor && blockedMs > 0 ? `; blocked for ${blockedMs} ms more` : "";
      const { holds, words } = this.holds.describe(policy, key, nowMs);
      return {
        policy: name,
        algorithm,
        limit,
        windowMs,
        remaining,
        state: algorithmOf(policy).describe(stored, policy, nowMs) + words + block + unlike,
        stored: stored ?? null,
        nextUnitMs:
          remaining >= capacity ? 0 : this.#decide(key, policy, nowMs, remaining + 1).retryAfterMs,
        ...(holds && { holds }),
        ...override,
      };
    });
  }

  /** Spends as `check` does, and notes what is held. A key with too many holds is denied. */
  #reserve(check: Check, nowMs: number): Verdict[] {
    const { reserve: _, ...spent } = check;
    const fullMs = this.holds.fullMs(check, nowMs);
    if (fullMs === 0) {
      const verdicts = this.check(spent, nowMs);
      if (verdicts.every(({ allowed }) => allowed)) this.holds.add(check, verdicts, nowMs);
      return verdicts;
    }
    return this.peek(spent, nowMs).map((verdict) => deniedFor(fullMs, verdict));
  }

  /** Asks for as much of the cost as every enforced policy has left, but for one unit at least. */
  #atMost(verb: "check" | "peek", { key, policies }: Check, nowMs: number): Verdict[] {
    const left = policies.map((policy) => {
      const { shadow, cost } = policy;
      return shadow ? cost : Math.min(cost, this.#decide(key, policy, nowMs, 0).remaining);
    });
    const cost = Math.max(1, Math.min(...left));
    const asked = policies.map(({ atMost: _, ...policy }) => ({ ...policy, cost }));
    const verdicts = this[verb]({ key, policies: asked }, nowMs);
    const taken = verdicts.every(({ allowed }) => allowed) ? cost : 0;
    return verdicts.map((verdict) => ({ ...verdict, taken }));
  }

  #passes(key: KeyHash, policy: CounterPolicy, nowMs: number): boolean {
    return policy.shadow || this.#decide(key, policy, nowMs, policy.cost).allowed;
  }

  #spend(key: KeyHash, policy: CounterPolicy, nowMs: number): Verdict {
    let outcome = this.#decide(key, policy, nowMs, policy.cost);
    if (outcome.allowed && outcome.state) {
      const { name, table } = this.tables.tableFor(policy);
      this.tables.setWithin(name, key, outcome.state, nowMs, table);
    }
    if (!outcome.allowed && policy.blockFor && !outcome.blocked) {
      this.#block(key, policy, nowMs, outcome.retryAfterMs);
      outcome = this.#decide(key, policy, nowMs, policy.cost);
    }
    return enforced(policy, outcome);
  }

  /** Makes the policies that deny block the key, unless an enforced one blocks it already. */
  #blockDenied({ key, policies }: Check, nowMs: number): void {
    const denying = policies.flatMap((policy) => {
      if (!policy.blockFor) return [];
      const outcome = this.#decide(key, policy, nowMs, policy.cost);
      return outcome.allowed ? [] : { policy, outcome };
    });
    if (denying.some(({ policy, outcome }) => outcome.blocked && !policy.shadow)) return;
    for (const { policy, outcome } of denying) {
      if (!outcome.blocked) this.#block(key, policy, nowMs, outcome.retryAfterMs);
    }
  }

  #block(key: KeyHash, policy: CounterPolicy, nowMs: number, retryAfterMs: number): void {
    const before = this.#blockOf(policy, key);
    // A slot is most likely free long before its window ends.
    const waitMs = policy.algorithm === "concurrency" ? 0 : retryAfterMs;
    const block = nextBlock(before, policy.blockFor as BlockFor, nowMs, waitMs);
    this.tables.setWithin(blocksName(policy), key, block, nowMs);
    this.#onBlock(policy, key);
  }

  #blockOf(policy: CounterPolicy, key: KeyHash): State | undefined {
    return this.tables.get(blocksName(policy), key);
  }

  #decide(key: KeyHash, policy: CounterPolicy, nowMs: number, cost: number): Outcome {
    const { limit, blockFor, capacity, isUnlimited } = policy;
    if (limit === 0 || blockFor || cost > capacity || isUnlimited)
      return this.#decideSeldom(key, policy, nowMs, cost);
    const { algorithm, table } = this.tables.tableFor(policy);
    return algorithm.decide(table?.get(key), policy, nowMs, cost);
  }

  /** Decides under the rarer policies, apart from the fast path of all others. */
  #decideSeldom(key: KeyHash, policy: CounterPolicy, nowMs: number, cost: number): Outcome {
    if (policy.isUnlimited) return EVERYTHING;
    const { algorithm, table } = this.tables.tableFor(policy);
    const { windowMs, capacity } = policy;
    // Only a policy in shadow is asked for more than could ever pass.
    const isTooMuch = cost > capacity;
    const decided =
      policy.limit === 0
        ? nothing(policy, nowMs)
        : algorithm.decide(table?.get(key), policy, nowMs, isTooMuch ? 0 : cost);
    const outcome =
      isTooMuch && capacity > 0 ? { ...decided, allowed: false, retryAfterMs: windowMs } : decided;
    const leftMs = policy.blockFor ? blockLeftMs(this.#blockOf(policy, key), nowMs) : 0;
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
}
