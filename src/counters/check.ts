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
  /** Units, a whole number from 1 to `capacity`. */
  cost: number;
  /**
   * Takes what is left of the cost instead of denying. In one check, all policies have it or none.
   */
  atMost?: true;
  /** In a check that reserves: its cost is held until it is settled. */
  held?: true;
  /** Of a key that an override leaves unlimited; set by its owner. Limit and capacity are unused. */
  isUnlimited?: true;
  /** How long a denied key stays blocked; absent if it does not. */
  blockFor?: BlockFor | undefined;
  /** Decided and counted, never enforced. */
  shadow: boolean;
  /** Written to disk before it is answered. */
  durable: boolean;
}

/** One question to an owner: may this key spend what all of these policies cost? */
export interface Check {
  key: KeyHash;
  /** At least one, with distinct names. */
  policies: readonly CounterPolicy[];
  /** Asked again under it, a check answers as the first time; see `answers.ts`. */
  requestId?: number;
  /** Reserves the cost under the policies that are `held`; see `holds.ts`. */
  reserve?: Reservation;
  /** In a settlement: what a hold came to. */
  settle?: Settlement;
}

export interface Reservation {
  /** A number by chance, below 2^53. */
  id: number;
  /** How long the hold lives if nobody settles it. */
  ttlMs: number;
}

export interface Settlement {
  /** The hold's, as in {@link Reservation}. */
  id: number;
  /** Units, a whole number from 0 on; 0 gives all back. */
  actual: number;
  /**
   * Whether the caller has made the hold itself. If the owner does not know it, as where the
   * fallback counted it, the actual cost is charged.
   */
  isMade: boolean;
}

/** What a hold was when it was settled. */
export const HELD = ["unknown", "live", "ended", "settled"] as const;

export type WasHeld = (typeof HELD)[number];

/** What a check spent, to be given back; also a check that tells of a lease. */
export interface Refund extends Check {
  /**
   * The owner's clock when it was spent; absent if unknown. In a check: when the owner last
   * confirmed the caller's lease on the key; absent if the caller has none.
   */
  spentAtMs?: number | undefined;
  /** The verdict's `resetMs` then, if there was one policy; absent if unknown. */
  resetMs?: number | undefined;
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
  /** The stored state itself; null if the key has no row. */
  stored: readonly number[] | null;
  /** Milliseconds until one unit more can be spent than now; 0 if all can. */
  nextUnitMs: number;
  /** How many holds are live, and how many of the spent units are theirs; absent without one. */
  holds?: { count: number; units: number };
  /** The override that `limit` comes from; absent without one. */
  override?: { limit: number | "unlimited"; leftMs: number };
}
