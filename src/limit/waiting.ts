/**
 * How long a held request waits for its turn, and the longest that a leaky bucket may hold one.
 *
 * Pure. Turns are an estimate: an isolate knows only the requests that wait in it.
 */
import type { Verdict } from "./decision.ts";
import { formatDuration } from "./duration.ts";
import { fieldPath, MisuseError } from "./misuse.ts";
import type { Policy } from "./policy.ts";

/** The longest that a leaky bucket holds a request. */
export const MAX_DELAY_MS = 60_000;

/**
 * Returns the policy for requests that are held: no more wait in a leaky bucket than leave within
 * `MAX_DELAY_MS`.
 *
 * @param at path of the policy, for the error
 * @throws {MisuseError} if the burst or the cost needs a longer queue
 */
export function withBoundedDelay(policy: Policy, at = ""): Policy {
  const { algorithm, burst, capacity, cost } = policy;
  if (algorithm !== "leaky-bucket") return policy;
  const bounded: Policy = { ...withShortQueue(policy), isQueueShort: true };
  if (bounded.capacity === capacity) return bounded;
  const forbid = (field: "burst" | "cost", most: number, value: number) => {
    const rule = `must be at most ${most} with this limit and window, so that no request is held for more than ${formatDuration(MAX_DELAY_MS)}`;
    throw new MisuseError(fieldPath(at, field), rule, value);
  };
  if (cost > bounded.capacity) forbid("cost", bounded.capacity, cost);
  if (burst !== undefined) forbid("burst", bounded.capacity - 1, burst);
  return bounded;
}

/** Does the same as `withBoundedDelay`, but shortens a burst that is too long. */
export function withShortQueue(policy: Policy): Policy {
  const { algorithm, limit, windowMs, capacity } = policy;
  if (algorithm !== "leaky-bucket" || capacity === 0) return policy;
  const waiting = Math.floor((MAX_DELAY_MS * limit) / windowMs);
  return capacity <= waiting + 1 ? policy : { ...policy, capacity: waiting + 1 };
}

/**
 * Returns the milliseconds until a denied request could pass, after those that wait for the same
 * quota.
 *
 * In a bucket, units come back at a constant pace. Elsewhere the pace varies within a window, but
 * the estimate takes it for constant.
 *
 * @param ahead units that the waiting requests cost
 */
export function turnMs(
  { algorithm, windowMs, cost, ...policy }: Policy,
  {
    limit = policy.limit,
    retryAfterMs,
    resetMs,
  }: Pick<Verdict, "limit" | "retryAfterMs" | "resetMs">,
  ahead: number,
): number {
  if (ahead === 0 || limit === 0) return retryAfterMs;
  if (algorithm === "token-bucket" || algorithm === "leaky-bucket") {
    return retryAfterMs + Math.ceil((ahead * windowMs) / limit);
  }
  // Under a lower override, this cost never passes.
  if (cost > limit) return retryAfterMs;
  // The most units of one window that can be spent at this cost.
  const most = limit - (limit % cost);
  const rounds = Math.floor(ahead / most);
  const paceMs = Math.max(0, resetMs - retryAfterMs) / limit;
  return retryAfterMs + rounds * windowMs + Math.ceil((ahead % most) * paceMs);
}
