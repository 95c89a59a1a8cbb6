/** What an owner is asked, and how it explains itself. */
import type { Quota } from "../limit/algorithm.ts";
import type { AlgorithmName, Start } from "../limit/algorithms.ts";
import type { BlockFor } from "../limit/block-for.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** What an owner needs to know of a policy. */
export interface CounterPolicy extends Quota {
  name: string;
  algorithm: AlgorithmName;
  /** Absent where windows are aligned. */
  start?: Start;
  /** Units, a whole number from 1 to `capacity`. */
  cost: number;
  /** Takes what is left of the cost instead of denying; of several policies, all or none say so. */
  atMost?: true;
  /** How long a key is blocked that was denied once; absent where it is not. */
  blockFor?: BlockFor | undefined;
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

/** What was spent by a check, given back; or a check that tells of a lease. */
export interface Refund extends Check {
  /**
   * The owner's clock when it was spent; absent where that is not known. Of a check, when the owner
   * last confirmed the caller's lease on the key; absent where it has none.
   */
  spentAtMs?: number | undefined;
  /** The verdict's then, where there is one policy; absent where that is not known. */
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
  /** What is stored, as it is; null where nothing is. */
  stored: readonly number[] | null;
  /** Milliseconds until one unit more could be spent than now; 0 if all could. */
  nextUnitMs: number;
}
