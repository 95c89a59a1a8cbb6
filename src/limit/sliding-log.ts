/**
 * Sliding log: never more than the limit in *any* span of one window.
 *
 * The only window that is exact at every instant: at 10 a minute, the eleventh request waits until
 * the first is a full minute old. Its weakness is memory, 16 bytes for each millisecond in which
 * something was spent, so the limit is bounded.
 */
import type { Algorithm, State } from "./algorithm.ts";
import { spoken } from "./duration.ts";

/** Largest limit of an algorithm that keeps every entry. */
export const MAX_LOG_LIMIT = 10_000;

interface Entry {
  readonly untilMs: number;
  readonly cost: number;
}

export const slidingLog: Algorithm = {
  decide(state, { limit, windowMs }, nowMs, cost) {
    const log = readLog(state, nowMs);
    const before = sum(log);
    const allowed = before + cost <= limit;
    const spends = allowed && cost > 0;
    const spent = spends ? before + cost : before;
    const lastMs = spends ? nowMs + windowMs : (log.at(-1)?.untilMs ?? nowMs);
    return {
      allowed,
      remaining: Math.max(0, limit - spent),
      resetMs: lastMs - nowMs,
      retryAfterMs: allowed ? 0 : freedAtMs(log, before + cost - limit) - nowMs,
      delayMs: 0,
      state: spends ? writeLog([...log, { untilMs: lastMs, cost }]) : state,
    };
  },

  refund(state, { windowMs }, nowMs, cost, spentAtMs) {
    const log = readLog(state, nowMs);
    if (spentAtMs !== undefined) return writeLog(take(log, cost, spentAtMs + windowMs));
    // Without the time, the entry is unknown. The newest would count longest, so it goes first.
    return writeLog(take(log.reverse(), cost).reverse());
  },

  charge(state, { windowMs }, nowMs, cost) {
    return writeLog([...readLog(state, nowMs), { untilMs: nowMs + windowMs, cost }]) as State;
  },

  describe(state, { limit }, nowMs) {
    const log = readLog(state, nowMs);
    const next = log[0] ? `, the oldest for another ${spoken(log[0].untilMs - nowMs)}` : "";
    return `${sum(log)} of ${limit} spent within one window${next}`;
  },
};

/** Returns the entries that still count, the oldest first. */
export function readLog(state: State | undefined, nowMs: number): Entry[] {
  const log: Entry[] = [];
  if (!state) return log;
  for (let at = 1; at < state.length; at += 2) {
    const untilMs = state[at] as number;
    if (untilMs > nowMs) log.push({ untilMs, cost: state[at + 1] as number });
  }
  return log;
}

export function writeLog(log: readonly Entry[]): State | undefined {
  const numbers: number[] = [];
  for (const { untilMs, cost } of log) {
    // One entry holds everything spent within one millisecond.
    if (numbers.at(-2) === untilMs) numbers.push((numbers.pop() as number) + cost);
    else numbers.push(untilMs, cost);
  }
  const last = log.at(-1);
  return last && [last.untilMs, ...numbers];
}

/** Takes units out of a log: from its front, or only from the entry that ends at `untilMs`. */
export function take(log: readonly Entry[], cost: number, untilMs?: number): Entry[] {
  let left = cost;
  return log.flatMap((entry) => {
    if (untilMs !== undefined && entry.untilMs !== untilMs) return [entry];
    const taken = Math.min(left, entry.cost);
    left -= taken;
    return taken === entry.cost ? [] : [{ ...entry, cost: entry.cost - taken }];
  });
}

/** Returns when the entries that end first have freed `cost` units. The log must have that many. */
function freedAtMs(log: readonly Entry[], cost: number): number {
  let freed = 0;
  const last = log.find((entry) => {
    freed += entry.cost;
    return freed >= cost;
  });
  return (last as Entry).untilMs;
}

export function sum(log: readonly Entry[]): number {
  return log.reduce((total, { cost }) => total + cost, 0);
}
