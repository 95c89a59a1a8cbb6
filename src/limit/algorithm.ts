/** What every algorithm offers: four pure functions of a state, a quota and a time. */
import type { Verdict } from "./decision.ts";

/** A year and a day: the longest window, and the longest that anything counted may matter. */
export const MAX_WINDOW_MS = 366 * 86_400_000;

/**
 * What one key has spent under one policy: numbers, so that a table can keep them flat.
 *
 * The first number says when the state no longer matters, ms since the epoch. The rest is the
 * algorithm's own. Absent means nothing spent.
 */
export type State = readonly [expiresAtMs: number, ...rest: number[]];

/**
 * Makes a state of two numbers.
 *
 * V8 may store a literal of variables as small integers, and convert it once it holds a time. In
 * workerd that takes as long as the decision itself.
 */
export function stateOf(expiresAtMs: number, second: number): State {
  // Fractions make it an array of doubles from the start.
  const state: [number, number] = [0.5, 0.5];
  state[0] = expiresAtMs;
  state[1] = second;
  return state;
}

/** What an algorithm needs to know of a policy. */
export interface Quota {
  /** Units in a window. */
  limit: number;
  /** Length of a window, ms. */
  windowMs: number;
  /**
   * The most units that can be spent at once, when nothing is spent: `limit`, or a bucket's burst.
   */
  capacity: number;
}

/** A verdict, and the state to keep: the one that was passed in if nothing was spent. */
export interface Outcome extends Omit<Verdict, "reason"> {
  state: State | undefined;
  /** Denied by the policy's own block, whatever the quota says. */
  blocked?: true;
}

export interface Algorithm {
  /**
   * Decides one check.
   *
   * A cost of 0 asks without spending: `remaining` and `resetMs` are then those of now. Once
   * `resetMs` is over, `remaining` is `quota.capacity` again.
   *
   * @param nowMs the owner's clock, ms since the epoch, never less than in the call before
   * @param cost units, a whole number from 0 to `quota.capacity`
   */
  decide(state: State | undefined, quota: Quota, nowMs: number, cost: number): Outcome;

  /**
   * Gives units back: never more than are spent, and none that time has given back already.
   *
   * @param spentAtMs the owner's clock when they were spent; absent if unknown
   * @param resetMs the verdict's `resetMs` then; absent if unknown
   */
  refund(
    state: State | undefined,
    quota: Quota,
    nowMs: number,
    cost: number,
    spentAtMs?: number,
    resetMs?: number,
  ): State | undefined;

  /**
   * Spends units without a decision, even beyond the limit: an actual cost above its estimate, for
   * example. Units beyond the limit delay the next checks.
   *
   * @param cost units, a whole number from 1 on
   */
  charge(state: State | undefined, quota: Quota, nowMs: number, cost: number): State;

  /** Describes the state in words, for a person who asks why a check was denied. */
  describe(state: State | undefined, quota: Quota, nowMs: number): string;
}
