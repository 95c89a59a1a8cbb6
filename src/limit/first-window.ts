/**
 * Fixed window that begins with a key's first request, as in most other limiters. In
 * `fixed-window.ts`, windows are aligned to the epoch.
 *
 * A client never gets its whole quota back after only a part of a window. Its weakness is the same
 * seam, in another place for each key. At 10 a minute, one request at 0:05, nine at 1:04.9 and ten
 * at 1:05.1 all pass: 19 in 0.2 s. A state means the same as in an aligned window, so a policy may
 * change from one to the other. A window that has begun ends when it would have.
 */
import { type Algorithm, type State, stateOf } from "./algorithm.ts";
import { exactly } from "./duration.ts";
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
    // Once all is given back, the next request begins a new window.
    return hasBegun(refunded, nowMs) ? refunded : undefined;
  },

  charge(state, quota, nowMs, cost) {
    if (hasBegun(state, nowMs)) return fixedWindow.charge(state, quota, nowMs, cost);
    return stateOf(nowMs + quota.windowMs, cost);
  },

  describe(state, quota, nowMs) {
    if (hasBegun(state, nowMs)) return fixedWindow.describe(state, quota, nowMs);
    return `0 of ${quota.limit} spent, and a window of ${exactly(quota.windowMs)} begins with the next`;
  },
};

/** Returns true if something is spent in a window that has not ended. */
function hasBegun(state: State | undefined, nowMs: number): boolean {
  return state !== undefined && nowMs < state[0] && (state[1] as number) > 0;
}
