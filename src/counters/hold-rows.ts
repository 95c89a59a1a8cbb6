/** The holds of one key under one policy as a row: which are kept, and for how long. */
import type { State } from "../limit/algorithm.ts";

export interface Hold {
  id: number;
  /** When it ends, ms since the epoch; once it is settled late, when it was settled. */
  endMs: number;
  /**
   * Units that it has spent, or {@link ENDED}, or {@link SETTLED}. 0 if nothing was counted: a
   * policy in shadow let it pass, or the key is unlimited.
   */
  amount: number;
  /** When it was spent, ms since the epoch. */
  atMs: number;
  /** The verdict's `resetMs` when it was spent, less what earlier holds have given back since. */
  resetMs: number;
}

/** The most live holds of a key under one policy. Ended holds are kept in the room they leave. */
export const MAX_HOLDS = 1_000;
/** The most settled holds that a row remembers, so that none is settled twice. */
const MAX_SETTLED = 100;
/** How long after its end a hold can be settled late. */
const LATE_MS = 3_600_000;
/** How long after its end a settled hold is remembered. */
const SETTLED_MS = 60_000;

/** Stands for the amount of a hold that has ended and was given back. */
export const ENDED = -1;
/** Stands for the amount of a hold that was settled. */
export const SETTLED = -2;

/** Numbers of a row before its holds: when it expires, and when the next live hold ends, or 0. */
const HEAD_NUMBERS = 2;
const HOLD_NUMBERS = 5;

export function isLive({ amount }: Hold): boolean {
  return amount >= 0;
}

/** Returns when the next live hold of a row ends, ms since the epoch; 0 without a live hold. */
export function nextEndMs(row: State | undefined): number {
  return row?.[1] ?? 0;
}

/** Returns the live holds in the order in which they were made, then the others. */
export function readHolds(row: State | undefined): Hold[] {
  const holds: Hold[] = [];
  for (let at = HEAD_NUMBERS; row && at < row.length; at += HOLD_NUMBERS) {
    const [id = 0, endMs = 0, amount = 0, atMs = 0, resetMs = 0] = row.slice(at, at + HOLD_NUMBERS);
    holds.push({ id, endMs, amount, atMs, resetMs });
  }
  return holds;
}

/**
 * Returns a row of the holds that must still be known; undefined if no hold must.
 *
 * @param countedUntilMs when the key's count expires. Until then a live hold has something to give
 *   back, so its row must not be swept.
 */
export function writeHolds(
  holds: readonly Hold[],
  countedUntilMs: number,
  nowMs: number,
): State | undefined {
  const knownMs = ({ amount, endMs }: Hold) => {
    if (amount === SETTLED) return endMs + SETTLED_MS;
    return Math.max(endMs + LATE_MS, amount === ENDED ? 0 : countedUntilMs);
  };
  const known = holds.filter((hold) => knownMs(hold) > nowMs);
  const live = known.filter(isLive);
  const ended = known.filter(({ amount }) => amount === ENDED);
  const settled = known.filter(({ amount }) => amount === SETTLED);
  ended.splice(0, live.length + ended.length - MAX_HOLDS);
  settled.splice(0, settled.length - MAX_SETTLED);
  const kept = [...live, ...ended, ...settled];
  if (kept.length === 0) return undefined;
  const ends = live.map(({ endMs }) => endMs);
  return [
    Math.max(...kept.map(knownMs)),
    ends.length > 0 ? Math.min(...ends) : 0,
    ...kept.flatMap(({ id, endMs, amount, atMs, resetMs }) => [id, endMs, amount, atMs, resetMs]),
  ];
}
