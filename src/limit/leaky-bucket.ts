/**
 * Leaky bucket: requests leave at a constant limit/window, and up to `burst` wait their turn.
 * `delayMs` tells each how long, as in nginx's `limit_req`.
 *
 * Protects what can't take a burst. Its weakness is the wait. At 10 a minute, ten requests
 * come at 0:00, and the tenth is held until 0:54. A client that gives up has still taken its turn.
 * The middleware holds no request for more than 60 s; see `waiting.ts`.
 */
import type { Algorithm } from "./algorithm.ts";
import { level, overfill, pace, pour, scoop } from "./bucket.ts";

export const leakyBucket: Algorithm = {
  decide(state, quota, nowMs, cost) {
    const outcome = pour(state, quota, nowMs, cost);
    // A request leaves when everything before it has left.
    if (outcome.allowed && cost > 0) {
      outcome.delayMs = Math.ceil(level(state, quota, nowMs) / quota.limit);
    }
    return outcome;
  },

  refund: scoop,

  charge: overfill,

  describe(state, quota, nowMs) {
    const queued = level(state, quota, nowMs) / quota.windowMs;
    return `${queued.toFixed(3)} of ${quota.capacity} in the bucket, one leaves each ${pace(quota)}`;
  },
};
