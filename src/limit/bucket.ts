/**
 * The bucket that two algorithms share: units drain at a constant limit/window.
 *
 * Kept as in GCRA (ITU-T I.371): as one time, that at which the bucket will be empty. This is no
 * whole number of milliseconds. So the state has it rounded up, and by how much, in `limit`ths of a
 * millisecond. No rounding error ever adds up.
 */
import { type Outcome, type Quota, type State, stateOf } from "./algorithm.ts";

/**
 * @param surplus how much earlier than `expiresAtMs` it is empty, in `limit`ths of a millisecond
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
  const [expiresAtMs, surplus] = state as unknown as BucketState;
  // If the limit was lowered since, the surplus is worth less.
  const amount = (expiresAtMs - nowMs) * limit - Math.min(surplus, limit - 1);
  // A bucket holds no more than its present quota allows, whatever was poured in before.
  return Math.max(0, Math.min(amount, capacity * windowMs));
}

/** Pours `cost` in if there is room. */
export function pour(
  state: State | undefined,
  quota: Quota,
  nowMs: number,
  cost: number,
): Omit<Outcome, "delayMs"> {
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
    state: allowed && cost > 0 ? write(after, quota, nowMs) : state,
  };
}

/**
 * Takes up to `cost` out again, as far as it has not drained yet.
 *
 * What is poured first drains first. So a cost has drained at the time that `resetMs` named when it
 * was poured. The weakness: if costs that were poured before it are taken out meanwhile, it drains
 * earlier than that. The bucket then gives back up to `cost` too much.
 *
 * @param spentAtMs when it was poured; absent if unknown
 * @param resetMs what the bucket answered then; absent: as if the bucket had been full
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

function write(amount: number, { limit }: Quota, nowMs: number): State | undefined {
  if (amount === 0) return undefined;
  const drainMs = Math.ceil(amount / limit);
  return stateOf(nowMs + drainMs, drainMs * limit - amount);
}
