/** What an owner is asked, and how it explains a decision. */
import type { Quota } from "../limit/algorithm.ts";
import type { AlgorithmName, Start } from "../limit/algorithms.ts";
import type { BlockFor } from "../limit/block-for.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** What an owner needs to know of a policy. */
export interface CounterPolicy extends Quota {
  name: string;
  algorithm: AlgorithmName;
  /** Absent if windows are aligned. */
  start?: Start;
  /** Units, a whole number from 1 on. A cost above `capacity` never passes. */
  cost: number;
  /**
   * Takes as much of the cost as is left instead of denying. In a check, all policies have this
   * field or none.
   */
  atMost?: true;
  /** In a check that reserves: the cost is held under this policy until it is settled. */
  held?: true;
  /** Set by the owner if an override leaves the key unlimited: limit and capacity are unused. */
  isUnlimited?: true;
  /** How long a denied key stays blocked; absent if it does not. */
  blockFor?: BlockFor | undefined;
  /** Decided and counted, never enforced. */
  shadow: boolean;
  /** What this policy counts is on disk before a check is answered. */
  durable: boolean;
}

/** One check of a key: spends the cost under all of these policies, or under none. */
export interface Check {
  key: KeyHash;
  /** At least one, with distinct names. */
  policies: readonly CounterPolicy[];
  /** A check that is repeated with the same number gets the first answer; see `answers.ts`. */
  requestId?: number;
  /** Reserves the cost under the policies that are `held`; see `holds.ts`. */
  reserve?: Reservation;
  /** In a settlement: the actual cost of a hold. */
  settle?: Settlement;
}

export interface Reservation {
  /** A random whole number below 2^53. */
  id: number;
  /** How long the hold lives if nobody settles it. */
  ttlMs: number;
}

export interface Settlement {
  /** The hold's id, as in {@link Reservation}. */
  id: number;
  /** Units, a whole number from 0 on; 0 gives all back. */
  actual: number;
  /**
   * Whether the caller's own check made the hold. If the owner does not know such a hold, perhaps
   * because the fallback counted it, it charges the actual cost.
   */
  isMade: boolean;
}

/** The state that a hold was in when it was settled. */
export const HELD = ["unknown", "live", "ended", "settled"] as const;

export type WasHeld = (typeof HELD)[number];

/** What a check spent, to be given back; also a check that tells of a lease. */
export interface Refund extends Check {
  /**
   * The owner's clock when it was spent; absent if unknown. In a check: when the owner last
   * confirmed the caller's lease on the key; absent if the caller has none.
   */
  spentAtMs?: number | undefined;
  /** The verdict's `resetMs` when it was spent, if there was one policy; absent if unknown. */
  resetMs?: number | undefined;
}

/** Why a policy decides as it does about one key. */
export interface Explanation {
  policy: string;
  algorithm: AlgorithmName;
  limit: number;
  windowMs: number;
  /** The most that `remaining` can be: of a bucket what it holds, else the limit. */
  capacity: number;
  remaining: number;
  /** What is stored, in words for a person. */
  state: string;
  /** The stored state itself; null if the key has no row. */
  stored: readonly number[] | null;
  /** Milliseconds until one more unit can be spent than now; 0 if nothing is spent. */
  nextUnitMs: number;
  /** How many holds are live, and how many of the spent units they have; absent without a hold. */
  holds?: { count: number; units: number };
  /** The override that `limit` comes from; absent without one. */
  override?: { limit: number | "unlimited"; leftMs: number };
}
