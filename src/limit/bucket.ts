/**
 * The bucket that two algorithms share: units drain at a constant limit/window.
 *
 * Kept as GCRA keeps it (ITU-T I.371): as one time, the theoretical arrival time (TAT), at which
 * the bucket will be empty. The TAT need not be a whole number of milliseconds. So the state has it
 * rounded up, and how much that added, in `limit`ths of a millisecond. No rounding error adds up.
 */
import { MAX_WINDOW_MS, type Outcome, type Quota, type State, stateOf } from "./algorithm.ts";
import { exactly } from "./duration.ts";

/**
 * @param expiresAtMs the TAT, rounded up
 * @param surplus how much earlier than `expiresAtMs` it is empty, in `limit`ths of a millisecond.
 *   For an overfull bucket, −1 − surplus: older versions read a negative number as a full bucket.
 */
type BucketState = readonly [expiresAtMs: number, surplus: number];

/**
 * Returns what is in the bucket, in units × `windowMs`: a whole number that shrinks by `limit` each
 * millisecond.
 */
export function level(
  state: State | undefined,
  { limit, windowMs, capacity }: Quota,
  nowMs: number,
): number {
  if (!state) return 0;
  const [expiresAtMs, second] = state as unknown as BucketState;
  const isOwed = second < 0;
  // A surplus that was written under a higher limit may be too large for this one.
  const surplus = Math.min(isOwed ? -1 - second : second, limit - 1);
  const amount = (expiresAtMs - nowMs) * limit - surplus;
  // A lowered capacity cuts what was poured in before. What an overfull bucket owes stays owed.
  return Math.max(0, isOwed ? amount : Math.min(amount, capacity * windowMs));
}

/** Pours `cost` in if there is room. */
export function pour(state: State | undefined, quota: Quota, nowMs: number, cost: number): Outcome {
  const { limit, windowMs, capacity } = quota;
  const before = level(state, quota, nowMs);
  const poured = before + cost * windowMs;
  const overflow = poured - capacity * windowMs;
  const allowed = overflow <= 0;
  const after = allowed ? poured : before;
  return {
    allowed,
    remaining: Math.max(0, Math.floor((capacity * windowMs - after) / windowMs)),
    resetMs: Math.ceil(after / limit),
    retryAfterMs: allowed ? 0 : Math.ceil(overflow / limit),
    delayMs: 0,
    state: allowed && cost > 0 ? write(after, quota, nowMs) : state,
  };
}

/**
 * Takes a cost out again, except what has drained of it.
 *
 * What is poured first drains first. So a cost has drained at the time that `resetMs` named when it
 * was poured. The weakness: if an earlier cost is taken out meanwhile, this one drains earlier than
 * that. The bucket then gives back up to `cost` too much.
 *
 * @param spentAtMs when the cost was poured; absent if unknown
 * @param resetMs the outcome's `resetMs` then; absent for that of a full bucket
 */
export function scoop(
  state: State | undefined,
  quota: Quota,
  nowMs: number,
  cost: number,
  spentAtMs = nowMs,
  resetMs = Math.ceil((quota.capacity * quota.windowMs) / quota.limit),
): State | undefined {
  const before = level(state, quota, nowMs);
  const undrained = Math.max(0, (spentAtMs + resetMs - nowMs) * quota.limit);
  const taken = Math.min(before, cost * quota.windowMs, undrained);
  return write(before - taken, quota, nowMs);
}

/** Pours `cost` in whether there is room or not, up to what drains within `MAX_WINDOW_MS`. */
export function overfill(state: State | undefined, quota: Quota, nowMs: number, cost: number) {
  const most = Math.min(MAX_WINDOW_MS * quota.limit, Number.MAX_SAFE_INTEGER);
  const poured = level(state, quota, nowMs) + cost * quota.windowMs;
  return write(Math.min(most, poured), quota, nowMs) as State;
}

/** Writes how long one unit takes to drain, in three digits if it is below 1 ms: `"50ms"`. */
export function pace({ limit, windowMs }: Quota): string {
  const ms = windowMs / limit;
  return exactly(Number(ms < 1 ? ms.toPrecision(3) : ms.toFixed(3)));
}

function write(
  amount: number,
  { limit, windowMs, capacity }: Quota,
  nowMs: number,
): State | undefined {
  if (amount === 0) return undefined;
  const drainMs = Math.ceil(amount / limit);
  const surplus = drainMs * limit - amount;
  return stateOf(nowMs + drainMs, amount > capacity * windowMs ? -1 - surplus : surplus);
}
