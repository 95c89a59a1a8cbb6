/**
 * Fixed window: count + cost ≤ limit, in windows aligned to the epoch as in Hammer.
 *
 * Cheapest and easiest to explain. Its weakness is the seam: at 10 a minute, ten requests at 0:59.9
 * and ten more at 1:00.1 all pass, 20 in 0.2 s. Over any span of one window, at most twice the limit.
 */
import type { Verdict } from "./decision.ts";
import type { Policy } from "./policy.ts";

/** Absent state means nothing spent. */
export interface FixedWindowState {
  /** End of the window the count belongs to, ms since the epoch; the state matters no longer. */
  expiresAtMs: number;
  /** Units spent in that window. */
  spent: number;
}

/**
 * Decides one check and returns the state to keep: a new one if it spent, else the one given.
 *
 * A cost of 0 asks without spending: `remaining` and `resetMs` are then those of right now.
 * A limit below what is already spent leaves `remaining` at 0.
 *
 * @param nowMs the owner's clock, ms since the epoch, never less than in the call before
 * @param cost units, a whole number from 0 to `policy.limit`
 * @example fixedWindow(undefined, { limit: 10, windowMs: 60_000 }, 0, 1).remaining // 9
 */
export function fixedWindow(
  state: FixedWindowState | undefined,
  { limit, windowMs }: Pick<Policy, "limit" | "windowMs">,
  nowMs: number,
  cost: number,
): Verdict & { state: FixedWindowState | undefined } {
  const current = state && nowMs < state.expiresAtMs ? state : undefined;
  const spentBefore = current?.spent ?? 0;
  const expiresAtMs = current?.expiresAtMs ?? nowMs - (nowMs % windowMs) + windowMs;
  const allowed = spentBefore + cost <= limit;
  const spent = allowed ? spentBefore + cost : spentBefore;
  return {
    allowed,
    remaining: Math.max(0, limit - spent),
    resetMs: spent === 0 ? 0 : expiresAtMs - nowMs,
    retryAfterMs: allowed ? 0 : expiresAtMs - nowMs,
    delayMs: 0,
    state: spent === spentBefore ? current : { expiresAtMs, spent },
  };
}
