/**
 * Concurrency: at most the limit in flight. A unit is freed when it is given back, or after one
 * window if its holder has vanished.
 *
 * The middleware gives a unit back when the body is sent or breaks off, or when a WebSocket closes;
 * without a body at once. If the client leaves earlier, it gives the unit back once the handler has
 * ended, or after 25 s. It cannot watch a response with a status of 600 or above: that ends with
 * its head.
 *
 * It is a sliding log whose entries may leave early. Its weakness is the window: a request that
 * runs longer no longer counts. With a window of 30 s, a request that runs from 0:00 to 0:40 does
 * not count from 0:30 on, so limit + 1 may run then.
 */
import type { Algorithm } from "./algorithm.ts";
import { readLog, slidingLog, sum, take, writeLog } from "./sliding-log.ts";

export const concurrency: Algorithm = {
  decide: slidingLog.decide,

  refund(state, { windowMs }, nowMs, cost, spentAtMs) {
    // Without the time, the entry is unknown. The oldest has most likely ended.
    const untilMs = spentAtMs === undefined ? undefined : spentAtMs + windowMs;
    return writeLog(take(readLog(state, nowMs), cost, untilMs));
  },

  charge: slidingLog.charge,

  describe(state, { limit }, nowMs) {
    return `${sum(readLog(state, nowMs))} of ${limit} in flight`;
  },
};
