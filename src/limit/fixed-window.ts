/**
 * Fixed window: count + cost ≤ limit, in windows aligned to the epoch as in Hammer.
 *
 * Cheapest and easiest to explain. Its weakness is the seam: at 10 a minute, ten requests at 0:59.9
 * and ten more at 1:00.1 all pass, 20 in 0.2 s. Over any span of one window, at most twice the
 * limit passes.
 */
import { type Algorithm, type State, stateOf } from "./algorithm.ts";
import { spoken } from "./duration.ts";

export const fixedWindow: Algorithm = {
  decide(state, { limit, windowMs }, nowMs, cost) {
    const windowEndMs = endOf(state, windowMs, nowMs);
    const spentBefore = spentIn(state, nowMs);
    const allowed = spentBefore + cost <= limit;
    const spends = allowed && cost > 0;
    const spent = spends ? spentBefore + cost : spentBefore;
    return {
      allowed,
      remaining: Math.max(0, limit - spent),
      resetMs: spent === 0 ? 0 : windowEndMs - nowMs,
      retryAfterMs: allowed ? 0 : windowEndMs - nowMs,
      delayMs: 0,
      state: spends ? stateOf(windowEndMs, spent) : state,
    };
  },

  refund(state, { windowMs }, nowMs, cost, spentAtMs = nowMs) {
    const windowEndMs = endOf(state, windowMs, nowMs);
    const spent = spentIn(state, nowMs);
    // Units of an earlier window no longer count, so there is nothing to give back.
    if (spent === 0 || spentAtMs < windowEndMs - windowMs) return state;
    return stateOf(windowEndMs, Math.max(0, spent - cost));
  },

  charge(state, { windowMs }, nowMs, cost) {
    return stateOf(endOf(state, windowMs, nowMs), spentIn(state, nowMs) + cost);
  },

  describe(state, { limit, windowMs }, nowMs) {
    const windowEndMs = endOf(state, windowMs, nowMs);
    const spent = spentIn(state, nowMs);
    return `${spent} of ${limit} spent in the window that ends in ${spoken(windowEndMs - nowMs)}`;
  },
};

/** Returns the end of the window that contains `nowMs`, ms since the epoch. */
function endOf(state: State | undefined, windowMs: number, nowMs: number): number {
  return state && nowMs < state[0] ? state[0] : nowMs - (nowMs % windowMs) + windowMs;
}

function spentIn(state: State | undefined, nowMs: number): number {
  return state && nowMs < state[0] ? (state[1] as number) : 0;
}
