/**
 * Fixed window that begins with a key's first request, as most other limiters have it, where
 * `fixed-window.ts` aligns windows to the epoch.
 *
 * Nobody is told that all is back after a part of a window. Its weakness is the same seam, in another
 * place for each key: at 10 a minute, one request at 0:05, nine at 1:04.9 and ten at 1:05.1 all
 * pass, 19 in 0.2 s. The states are those of the aligned window, so that a policy may change from
 * one to the other: a window that has begun ends when it would have.
 */
import { type Algorithm, type State, stateOf } from "./algorithm.ts";
import { fixedWindow } from "./fixed-window.ts";

export const firstWindow: Algorithm = {
  decide(state, quota, nowMs, cost) {
    if (hasBegun(state, nowMs)) return fixedWindow.decide(state, quota, nowMs, cost);
    const begun = stateOf(nowMs + quota.windowMs, 0);
    const outcome = fixedWindow.decide(begun, quota, nowMs, cost);
    // Nothing was spent, so no window has begun.
    if (outcome.state === begun) outcome.state = state;
    return outcome;
  },

  refund(state, quota, nowMs, cost, spentAtMs) {
    const refunded = fixedWindow.refund(state, quota, nowMs, cost, spentAtMs);
    // With nothing spent, the next request is the first again.
    return hasBegun(refunded, nowMs) ? refunded : undefined;
  },

  describe(state, quota, nowMs) {
    if (hasBegun(state, nowMs)) return fixedWindow.describe(state, quota, nowMs);
    return `0 of ${quota.limit} spent, and a window of ${quota.windowMs} ms begins with the next`;
  },
};

/** Has something been spent in a window that has not ended? */
function hasBegun(state: State | undefined, nowMs: number): boolean {
  return state !== undefined && nowMs < state[0] && (state[1] as number) > 0;
}
