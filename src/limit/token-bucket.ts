/**
 * Token bucket: `burst` tokens, refilled continuously at limit/window.
 *
 * Allows a burst and then an even pace. Its weakness is the sum of both: at 10 a minute with a
 * burst of 10, ten pass at 0:00 and ten more by 1:00, 20 within one minute. After a change of the
 * limit, spent tokens come back in the time that they would have taken before.
 */
import type { Algorithm } from "./algorithm.ts";
import { level, overfill, pace, pour, scoop } from "./bucket.ts";

export const tokenBucket: Algorithm = {
  decide: pour,

  refund: scoop,

  charge: overfill,

  describe(state, quota, nowMs) {
    const tokens = quota.capacity - level(state, quota, nowMs) / quota.windowMs;
    return `${tokens.toFixed(3)} of ${quota.capacity} tokens, one more each ${pace(quota)}`;
  },
};
