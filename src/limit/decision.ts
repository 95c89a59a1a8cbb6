/**
 * What a check answers. Durations, never timestamps: only the owner's clock counts.
 *
 * A `Verdict` is what one policy says; a `Decision` is a verdict and where it comes from.
 */

/**
 * Why a decision came out as it did:
 * - `ok`: it passed.
 * - `limited`: over the limit.
 * - `blocked`: by an operator, or by the policy's `blockFor`.
 * - `shadow`: over a limit that is not enforced.
 * - `failed`: the owner did not answer, and `onFailure` decided.
 * - `listed`: by an address list. Only `explain` says so: a list refuses before a policy decides.
 */
export type Reason = "ok" | "limited" | "blocked" | "listed" | "shadow" | "failed";

/** Who decided. `local`: the isolate, under the mode `after`. `list` is not given today. */
export type Source = "owner" | "lease" | "denial-cache" | "fallback" | "local" | "list";

/** What one policy says to one check. */
export interface Verdict {
  /** True if this policy lets the check pass. */
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
  /** Units that a check with `atMost` took, 0 if it was denied; absent for other checks. */
  taken?: number;
  /** Units in a whole quota, if an override sets them; absent if the policy does. */
  limit?: number;
}

/** The reasons that an owner gives. As a number, a reason is its index here. */
export const OWNER_REASONS: readonly Reason[] = ["ok", "shadow", "limited", "blocked"];
/** Reasons below this index allow. */
const ALLOWING_REASONS = 2;

/** Returns an owner's verdict from numbers. A reason that is no index becomes `failed`. */
export function verdictOf(
  reason: number,
  remaining: number,
  resetMs: number,
  retryAfterMs: number,
  delayMs: number,
): Verdict {
  return {
    allowed: reason < ALLOWING_REASONS,
    remaining,
    resetMs,
    retryAfterMs,
    delayMs,
    reason: OWNER_REASONS[reason] ?? "failed",
  };
}

/** A verdict, and where it comes from. */
export interface Decision extends Verdict {
  /** Name of the policy that decided. */
  policy: string;
  /** Units in a whole quota. */
  limit: number;
  source: Source;
  /**
   * False if the answer may be off: from a lease, the fallback or mode `after`, and while the owner
   * may have lost some of the count.
   */
  exact: boolean;
}

/**
 * Picks, of the decisions of several policies on one request, the one that decides: the denial with
 * the longest wait, else the one with the least left.
 *
 * @throws {TypeError} without a decision
 */
export function decisive(decisions: readonly Decision[]): Decision {
  return decisions.reduce((best, next) => {
    if (best.allowed !== next.allowed) return next.allowed ? best : next;
    if (!next.allowed) return next.retryAfterMs > best.retryAfterMs ? next : best;
    return next.remaining < best.remaining ? next : best;
  });
}
