/**
 * Concurrency: at most the limit in flight. A unit is freed when it is given back, or after one
 * window if its holder vanished.
 *
 * The middleware gives it back when the body was sent or broke off, a WebSocket closed, the client
 * left and the handler has ended, or nothing is left to send. A response with a status that code
 * cannot make (600 and above) counts as ended with its head.
 *
 * It is a sliding log whose entries may leave early. Its weakness is the window: a request that
 * runs longer counts no more, so with a window of 30 s and a request of 40 s, the limit + 1 may run
 * from 0:30.
 */
import type { Algorithm } from "./algorithm.ts";
import { readLog, slidingLog, take, writeLog } from "./sliding-log.ts";

export const concurrency: Algorithm = {
  decide: slidingLog.decide,

  refund(state, { windowMs }, nowMs, cost, spentAtMs) {
    // Not known which it was: the oldest, which most likely has ended.
    const untilMs = spentAtMs === undefined ? undefined : spentAtMs + windowMs;
    return writeLog(take(readLog(state, nowMs), cost, untilMs));
  },

  describe(state, { limit }, nowMs) {
    const log = readLog(state, nowMs);
    const inFlight = log.reduce((total, { cost }) => total + cost, 0);
    return `${inFlight} of ${limit} in flight`;
  },
};
