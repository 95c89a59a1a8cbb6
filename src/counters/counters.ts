/**
 * The counters that an owner holds, and the verbs on them. No clock, no I/O, no `await`: a check is
 * decided and spent in one go, which makes the count exact.
 *
 * The fallback in the caller's isolate counts with the same class.
 */
import { algorithmOf } from "../limit/algorithms.ts";
import { blockLeftMs } from "../limit/block-for.ts";
import type { Verdict } from "../limit/decision.ts";
import { spoken } from "../limit/duration.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, CounterPolicy, Explanation, Refund, Settlement } from "./check.ts";
import { Decisions } from "./decisions.ts";
import { deniedFor, Holds } from "./holds.ts";
import { toVerdict } from "./outcomes.ts";
import { Overrides } from "./overrides.ts";
import { BLOCKED, blocksName, holdsName, tableName } from "./table-name.ts";
import { Tables, type TablesOptions } from "./tables.ts";

/** The most keys that operators block at one owner: 16 MB of rows, which leaves room to count. */
const MAX_BLOCKS = 1_000_000;

export interface CountersOptions extends TablesOptions {
  /** Called after a policy has blocked a key. */
  onBlock?: (policy: CounterPolicy) => unknown;
}

export class Counters {
  readonly tables: Tables;
  readonly holds: Holds;
  readonly overrides: Overrides;
  readonly #decisions: Decisions;

  constructor({ onBlock = () => {}, ...options }: CountersOptions = {}) {
    this.tables = new Tables(options);
    this.#decisions = new Decisions(this.tables, onBlock);
    this.overrides = new Overrides(this.tables);
    this.holds = new Holds(this.tables, (refund, nowMs) => this.#giveBack(refund, nowMs));
  }

  /** Spends under all the policies, or, if one that is enforced denies, under none. */
  check(asked: Check, nowMs: number): Verdict[] {
    // Tested here, since a call to `apply` alone takes a twentieth of the whole check.
    const isPlain = this.tables.overrides.size === 0;
    const check = isPlain ? asked : this.overrides.apply(asked, nowMs);
    const { key, policies, reserve } = check;
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    if (reserve) return this.#reserve(check, nowMs);
    if (policies[0]?.atMost) return this.#atMost("check", check, nowMs);
    if (this.blockedMs(key, nowMs) > 0) return this.peek(check, nowMs);
    // Most checks name one policy. It can spend at once, since no other policy can deny.
    if (policies.length === 1)
      return [this.#decisions.spend(key, policies[0] as CounterPolicy, nowMs)];
    const passes = policies.every((policy) => this.#decisions.passes(key, policy, nowMs));
    if (!passes) {
      this.#decisions.blockDenied(check, nowMs);
      return this.peek(check, nowMs);
    }
    return policies.map((policy) => this.#decisions.spend(key, policy, nowMs));
  }

  /** Answers as `check` would, spending nothing: `remaining` is what is left now. */
  peek(asked: Check, nowMs: number): Verdict[] {
    const check = this.overrides.apply(asked, nowMs);
    const { key, policies } = check;
    if (this.holds.hasAny) this.holds.end(check, nowMs);
    if (policies[0]?.atMost) return this.#atMost("peek", check, nowMs);
    const blockedMs = this.blockedMs(key, nowMs);
    return policies.map((policy) => {
      const decided = this.#decisions.decide(key, policy, nowMs, policy.cost);
      const { remaining, resetMs } = this.#decisions.decide(key, policy, nowMs, 0);
      if (blockedMs === 0) return toVerdict(policy, { ...decided, remaining, resetMs });
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
      // Checks of an unlimited key are not counted. A slot taken before the override still is.
      if (policy.isUnlimited && policy.algorithm !== "concurrency") continue;
      endsDenial ||=
        policy.algorithm !== "concurrency" &&
        this.#decisions.decide(key, policy, nowMs, 0).remaining === 0;
      const after = algorithm.refund(before, policy, nowMs, policy.cost, spentAtMs, resetMs);
      if (after) this.tables.set(name, key, after, table);
      else this.tables.delete(name, key);
    }
    return endsDenial;
  }

  /** Forgets what the key spent under these policies, its holds, and the policies' blocks. */
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
   * @throws {Error} if the owner has `MAX_BLOCKS` already: blocks are never evicted
   */
  block(key: KeyHash, untilMs: number): void {
    const state = this.tables.get(BLOCKED, key);
    if (!state && (this.tables.blocks?.size ?? 0) >= MAX_BLOCKS) {
      throw new Error(`an owner keeps at most ${MAX_BLOCKS} blocks: unblock some keys first`);
    }
    this.tables.set(BLOCKED, key, [Math.max(untilMs, state?.[0] ?? 0)]);
  }

  /** Ends all blocks of a key, by operators and by policies, as if it had never been denied. */
  unblock(key: KeyHash): void {
    for (const [name, { kind }] of this.tables.byName) {
      if (kind === "block") this.tables.delete(name, key);
    }
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
        words: overrideWords,
        ...override
      } = this.overrides.describe(policy, key, nowMs);
      const stored = this.tables.tableFor(policy).table?.get(key);
      const { remaining } = this.#decisions.decide(key, policy, nowMs, 0);
      const blockedMs = blockLeftMs(this.#decisions.blockOf(policy, key), nowMs);
      const block =
        policy.blockFor && blockedMs > 0 ? `; blocked for ${spoken(blockedMs)} more` : "";
      const { holds, words } = this.holds.describe(policy, key, nowMs);
      return {
        policy: name,
        algorithm,
        limit,
        windowMs,
        capacity: policy.isUnlimited ? limit : capacity,
        remaining,
        state: algorithmOf(policy).describe(stored, policy, nowMs) + words + block + overrideWords,
        stored: stored ?? null,
        nextUnitMs:
          remaining >= capacity
            ? 0
            : this.#decisions.decide(key, policy, nowMs, remaining + 1).retryAfterMs,
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
      return shadow
        ? cost
        : Math.min(cost, this.#decisions.decide(key, policy, nowMs, 0).remaining);
    });
    const cost = Math.max(1, Math.min(...left));
    const asked = policies.map(({ atMost: _, ...policy }) => ({ ...policy, cost }));
    const verdicts = this[verb]({ key, policies: asked }, nowMs);
    const taken = verdicts.every(({ allowed }) => allowed) ? cost : 0;
    return verdicts.map((verdict) => ({ ...verdict, taken }));
  }
}
