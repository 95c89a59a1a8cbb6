/**
 * Holds: units that a key has reserved until their actual cost is known.
 *
 * A hold's amount is spent at once, so the algorithms need not know of holds. Settling a hold gives
 * back what was too much, or charges what was too little. A hold that nobody settles ends by
 * itself: the next call about its key gives the amount back, as if at the moment when it ended.
 *
 * A key has one row of holds for each policy. It moves with the key, and is on disk as counts are.
 */
import type { State } from "../limit/algorithm.ts";
import type { Verdict } from "../limit/decision.ts";
import { spoken } from "../limit/duration.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, CounterPolicy, Refund, Settlement, WasHeld } from "./check.ts";
import {
  ENDED,
  type Hold,
  isLive,
  MAX_HOLDS,
  nextEndMs,
  readHolds,
  SETTLED,
  writeHolds,
} from "./hold-rows.ts";
import { holdsName } from "./table-name.ts";
import type { Tables } from "./tables.ts";

const SECOND_MS = 1_000;

/** A key under a policy, and all of its holds. */
interface KeyHolds {
  key: KeyHash;
  policy: CounterPolicy;
  holds: Hold[];
}

export class Holds {
  /** Whether this owner ever had a hold. Until then, checks skip the look-up. */
  hasAny = false;
  readonly #tables: Tables;
  readonly #giveBack: (refund: Refund, nowMs: number) => boolean;
  /** How many live holds end in each second. */
  readonly #ends = new Map<number, number>();
  #second = 0;

  /** @param giveBack returns whether a denial that callers remember may end early */
  constructor(tables: Tables, giveBack: (refund: Refund, nowMs: number) => boolean) {
    this.#tables = tables;
    this.#giveBack = giveBack;
  }

  /** Notes all holds after the rows were read from disk. */
  load(): void {
    for (const { kind, segments } of this.#tables.byName.values()) {
      if (kind !== "hold") continue;
      for (const segment of segments) segment.visit((_, row) => this.noteRow(row));
    }
  }

  /** Notes a row that was read or imported. */
  noteRow(row: State): void {
    this.hasAny = true;
    for (const { endMs } of readHolds(row).filter(isLive)) this.#count(endMs, 1);
  }

  /** Returns true if a hold has ended by itself since the last call; up to a second late. */
  hasEnded(nowMs: number): boolean {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second === this.#second) return false;
    this.#second = second;
    const { size } = this.#ends;
    for (const each of this.#ends.keys()) if (each < second) this.#ends.delete(each);
    return this.#ends.size < size;
  }

  /** Ends the holds of a key that are due. Call this before reading the key's counts. */
  end({ key, policies }: Check, nowMs: number): void {
    for (const policy of policies) {
      const nextMs = nextEndMs(this.#row(policy, key));
      if (nextMs === 0 || nextMs > nowMs) continue;
      const keyHolds = this.#holdsOf(policy, key);
      const due = keyHolds.holds.filter((hold) => isLive(hold) && hold.endMs <= nowMs);
      due.sort((one, other) => one.endMs - other.endMs);
      for (const hold of due) {
        this.#return(keyHolds, hold, hold.amount, hold.endMs);
        // A hold that counted nothing is charged nothing if it is settled late.
        hold.amount = hold.amount === 0 ? SETTLED : ENDED;
      }
      this.#write(keyHolds, nowMs);
    }
  }

  /** Returns the milliseconds until the key may have one more hold; 0 if it may now. */
  fullMs({ key, policies }: Check, nowMs: number): number {
    const waits = policies.map((policy) => {
      const isFull = this.#holdsOf(policy, key).holds.filter(isLive).length >= MAX_HOLDS;
      return isFull ? nextEndMs(this.#row(policy, key)) - nowMs : 0;
    });
    return Math.max(...waits);
  }

  /** Notes what a check that reserves has spent. */
  add({ key, policies, reserve }: Check, verdicts: readonly Verdict[], nowMs: number): void {
    if (!reserve) return;
    const endMs = nowMs + reserve.ttlMs;
    for (const [at, policy] of policies.entries()) {
      if (!policy.held) continue;
      const { reason, resetMs } = verdicts[at] as Verdict;
      const amount = reason === "ok" && !policy.isUnlimited ? policy.cost : 0;
      const keyHolds = this.#holdsOf(policy, key);
      const hold = { id: reserve.id, endMs, amount, atMs: nowMs, resetMs };
      // The caller took this check for lost and settled its hold. The check arrives only now.
      const isSettled = keyHolds.holds.some(({ id }) => id === reserve.id);
      keyHolds.holds.push(hold);
      if (isSettled) {
        this.#return(keyHolds, hold, amount, nowMs);
        hold.amount = SETTLED;
      } else this.#count(endMs, 1);
      this.#write(keyHolds, nowMs);
    }
  }

  /**
   * Replaces what a hold has spent by its actual cost. A hold that has ended was given back, so it
   * is charged all of its cost.
   *
   * @returns what the hold was before, and whether a denial that callers remember may end early
   */
  settle(
    { key, policies }: Check,
    { id, actual, isMade }: Settlement,
    nowMs: number,
  ): { was: WasHeld; frees: boolean } {
    let was: WasHeld = "unknown";
    let frees = false;
    const all = policies.map((policy) => this.#holdsOf(policy, key));
    for (const keyHolds of all) {
      const { holds } = keyHolds;
      const hold = holds.find((each) => each.id === id);
      if (!hold) continue;
      was = isLive(hold) ? "live" : hold.amount === ENDED ? "ended" : "settled";
      if (was === "settled") continue;
      const spent = Math.max(0, hold.amount);
      if (was === "live") {
        this.#count(hold.endMs, -1);
        frees ||= holds.filter(isLive).length >= MAX_HOLDS;
      }
      if (spent > actual) frees = this.#return(keyHolds, hold, spent - actual, nowMs) || frees;
      if (actual > spent && hold.amount !== 0) this.#charge(keyHolds, actual - spent, nowMs);
      hold.amount = SETTLED;
      hold.endMs = Math.max(hold.endMs, nowMs);
      this.#write(keyHolds, nowMs);
    }
    if (was !== "unknown" || !isMade) return { was, frees };
    for (const keyHolds of all) {
      if (actual > 0) this.#charge(keyHolds, actual, nowMs);
      keyHolds.holds.push({ id, endMs: nowMs, amount: SETTLED, atMs: nowMs, resetMs: 0 });
      this.#write(keyHolds, nowMs);
    }
    return { was: "ended", frees };
  }

  /** Returns the number of a key's live holds and of their units, also in words. */
  describe(policy: CounterPolicy, key: KeyHash, nowMs: number) {
    const live = this.#holdsOf(policy, key).holds.filter(isLive);
    if (live.length === 0) return { words: "" };
    const units = live.reduce((sum, { amount }) => sum + amount, 0);
    const endsInMs = nextEndMs(this.#row(policy, key)) - nowMs;
    const words = `; ${units} of that held by ${live.length} holds, the next ends in ${spoken(endsInMs)}`;
    return { holds: { count: live.length, units }, words };
  }

  #row(policy: CounterPolicy, key: KeyHash): State | undefined {
    return this.#tables.get(holdsName(this.#tables.tableFor(policy).name), key);
  }

  #holdsOf(policy: CounterPolicy, key: KeyHash): KeyHolds {
    return { key, policy, holds: readHolds(this.#row(policy, key)) };
  }

  #write({ key, policy, holds }: KeyHolds, nowMs: number): void {
    this.hasAny = true;
    const { name, table } = this.#tables.tableFor(policy);
    const row = writeHolds(holds, table?.get(key)?.[0] ?? 0, nowMs);
    if (row) this.#tables.setWithin(holdsName(name), key, row, nowMs);
    else this.#tables.delete(holdsName(name), key);
  }

  /** @returns whether a denial that callers remember may end early */
  #return({ key, policy, holds }: KeyHolds, hold: Hold, cost: number, nowMs: number): boolean {
    if (cost === 0) return false;
    const { atMs: spentAtMs, resetMs } = hold;
    const before = this.#resetMs(policy, key, nowMs);
    const policies = [{ ...policy, cost }];
    const frees = this.#giveBack({ key, policies, spentAtMs, resetMs }, nowMs);
    // In a bucket, all that was poured in after this hold now drains earlier.
    const earlierMs = before - this.#resetMs(policy, key, nowMs);
    for (const later of holds.slice(holds.indexOf(hold) + 1)) {
      later.resetMs = Math.max(0, later.resetMs - earlierMs);
    }
    return frees;
  }

  #resetMs(policy: CounterPolicy, key: KeyHash, nowMs: number): number {
    const { algorithm, table } = this.#tables.tableFor(policy);
    return policy.limit === 0 ? 0 : algorithm.decide(table?.get(key), policy, nowMs, 0).resetMs;
  }

  #charge({ key, policy }: KeyHolds, cost: number, nowMs: number): void {
    if (policy.limit === 0 || policy.isUnlimited) return;
    const { name, algorithm, table } = this.#tables.tableFor(policy);
    const state = algorithm.charge(table?.get(key), policy, nowMs, cost);
    this.#tables.setWithin(name, key, state, nowMs, table);
  }

  #count(endMs: number, by: number): void {
    const second = Math.floor(endMs / SECOND_MS);
    const count = (this.#ends.get(second) ?? 0) + by;
    if (count > 0) this.#ends.set(second, count);
    else this.#ends.delete(second);
  }
}

/** Returns the denial of a key that has the most holds, and may have one more in `waitMs`. */
export function deniedFor(waitMs: number, verdict: Verdict): Verdict {
  const retryAfterMs = Math.max(waitMs, verdict.retryAfterMs);
  const denial = { allowed: false, remaining: 0, delayMs: 0, reason: "limited" } as const;
  return { ...verdict, ...denial, retryAfterMs };
}
