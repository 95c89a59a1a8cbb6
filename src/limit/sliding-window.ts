/**
 * Sliding window: the previous window's count, weighted by how much of it still overlaps, plus the
 * present count, plus the cost. Two counters a key, as at Cloudflare and Upstash.
 *
 * Smooths the seam of the fixed window. Its weakness is an assumption: that the previous window was
 * spent evenly. At 10 a minute, ten requests at 0:59.9 weigh as if they had come at an even pace.
 * So five more pass by 1:30: 15 between 0:59.9 and 1:30. Over any span of one window, less than
 * twice the limit passes.
 */
import type { Algorithm, State } from "./algorithm.ts";
import { exactly, spoken } from "./duration.ts";

/** A state expires at the end of the next window, since the present count weighs until then. */
type SlidingWindowState = readonly [expiresAtMs: number, previous: number, current: number];

export const slidingWindow: Algorithm = {
  // Sums are in units × ms, so they are whole numbers. `withQuota` keeps them exact in a double.
  decide(state, { limit, windowMs }, nowMs, cost) {
    const [expiresAtMs, previous, before] = read(state, windowMs, nowMs);
    const overlapMs = expiresAtMs - windowMs - nowMs;
    const room = limit * windowMs - previous * overlapMs;
    const allowed = (before + cost) * windowMs <= room;
    const spends = allowed && cost > 0;
    const current = spends ? before + cost : before;
    return {
      allowed,
      remaining: Math.max(0, Math.floor((room - current * windowMs) / windowMs)),
      resetMs: current > 0 ? expiresAtMs - nowMs : previous > 0 ? overlapMs : 0,
      retryAfterMs: allowed ? 0 : waitMs(previous, before, limit, windowMs, overlapMs, cost),
      delayMs: 0,
      state: spends ? [expiresAtMs, previous, current] : state,
    };
  },

  refund(state, { windowMs }, nowMs, cost, spentAtMs = nowMs) {
    if (!state) return state;
    const [expiresAtMs, previous, current] = read(state, windowMs, nowMs);
    const startMs = expiresAtMs - 2 * windowMs;
    if (spentAtMs >= startMs) return [expiresAtMs, previous, Math.max(0, current - cost)];
    if (spentAtMs < startMs - windowMs) return state;
    return [expiresAtMs, Math.max(0, previous - cost), current];
  },

  charge(state, { windowMs }, nowMs, cost) {
    const [expiresAtMs, previous, current] = read(state, windowMs, nowMs);
    const most = Math.floor(Number.MAX_SAFE_INTEGER / windowMs);
    return [expiresAtMs, previous, Math.min(most, current + cost)];
  },

  describe(state, { limit, windowMs }, nowMs) {
    const [expiresAtMs, previous, current] = read(state, windowMs, nowMs);
    const overlapMs = expiresAtMs - windowMs - nowMs;
    return (
      `${current} spent in this window and ${previous} in the one before it, ` +
      `weighed by the ${spoken(overlapMs)} of ${exactly(windowMs)} that still overlap, ` +
      `against ${limit}`
    );
  },
};

/** Returns the state of the window that contains `nowMs`. */
function read(state: State | undefined, windowMs: number, nowMs: number): SlidingWindowState {
  const expiresAtMs = nowMs - (nowMs % windowMs) + 2 * windowMs;
  const [until, previous = 0, current = 0] = state ?? [0];
  if (until === expiresAtMs) return [expiresAtMs, previous, current];
  if (until === expiresAtMs - windowMs) return [expiresAtMs, current, 0];
  return [expiresAtMs, 0, 0];
}

/** Returns the milliseconds until `cost` fits, in this window or the next, if nobody spends. */
function waitMs(
  previous: number,
  current: number,
  limit: number,
  windowMs: number,
  overlapMs: number,
  cost: number,
): number {
  const free = limit - current - cost;
  if (free >= 0) return overlapMs - Math.floor((free * windowMs) / previous);
  return overlapMs + windowMs - Math.floor(((limit - cost) * windowMs) / current);
}
