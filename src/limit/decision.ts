/** What a check answers. Durations, never timestamps: only the owner's clock counts. */

/**
 * Why a decision came out as it did: `ok` passed, `limited` over the limit, `blocked` by an operator
 * or by the policy's `blockFor`, `listed` by an address list, `shadow` over a limit that is not
 * enforced, `failed` the owner did not answer and the policy says what then.
 */
export type Reason = "ok" | "limited" | "blocked" | "listed" | "shadow" | "failed";

/** Who decided. */
export type Source = "owner" | "lease" | "denial-cache" | "fallback" | "list";

/** One policy's word on one check. */
export interface Verdict {
  /** May it pass, as far as this policy is concerned? */
  allowed: boolean;
  /** Units that could be spent right now, ≥ 0. */
  remaining: number;
  /** Milliseconds until the quota is whole again, ≥ 0. */
  resetMs: number;
  /** 0 if allowed, else milliseconds (> 0) until the same cost could pass. */
  retryAfterMs: number;
  /** Leaky bucket only: milliseconds to hold the request, else 0. */
  delayMs: number;
  reason: Reason;
  /** Units that were taken of the cost, 0 where it was denied; only where `atMost` was asked for. */
  taken?: number;
}

/** A verdict, and whose it is. */
export interface Decision extends Verdict {
  /** Name of the policy that decided: the one that denied, else the one with the least left. */
  policy: string;
  /** Units in a whole quota. */
  limit: number;
  source: Source;
  /** False when the answer may be off: the owner was not asked or did not answer. */
  exact: boolean;
}

/**
 * Picks the decision that decides among those of several policies on one request: the denial that
 * lasts longest, else the one with the least left.
 *
 * @throws {TypeError} if there is none
 */
export function decisive(decisions: readonly Decision[]): Decision {
  return decisions.reduce((best, next) => {
    if (best.allowed !== next.allowed) return next.allowed ? best : next;
    if (!next.allowed) return next.retryAfterMs > best.retryAfterMs ? next : best;
    return next.remaining < best.remaining ? next : best;
  });
}
