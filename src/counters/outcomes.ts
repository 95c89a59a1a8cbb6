/** Outcomes under a limit of 0 and of unlimited keys; and how an outcome becomes a verdict. */
import type { Outcome } from "../limit/algorithm.ts";
import type { Verdict } from "../limit/decision.ts";
import { MAX_UNITS } from "../limit/policy-schema.ts";
import type { CounterPolicy } from "./check.ts";

/** Returns the outcome under a limit of 0, which algorithms do not know: a denial. */
export function zeroLimitOutcome({ windowMs }: CounterPolicy, nowMs: number): Outcome {
  const retryAfterMs = windowMs - (nowMs % windowMs);
  return { allowed: false, remaining: 0, resetMs: 0, retryAfterMs, delayMs: 0, state: undefined };
}

/** The outcome for a key that an override leaves unlimited: it passes, and nothing is counted. */
export const UNLIMITED_OUTCOME: Outcome = {
  allowed: true,
  remaining: MAX_UNITS,
  resetMs: 0,
  retryAfterMs: 0,
  delayMs: 0,
  state: undefined,
};

/** Returns the verdict on an outcome. In shadow, a denial is reported, but the check passes. */
export function toVerdict({ shadow }: CounterPolicy, outcome: Omit<Outcome, "state">): Verdict {
  const { allowed, remaining, resetMs } = outcome;
  const denial = shadow ? "shadow" : outcome.blocked ? "blocked" : "limited";
  // Field by field: copying the others with `...` takes longer than the whole decision.
  return {
    allowed: allowed || shadow,
    remaining,
    resetMs,
    retryAfterMs: shadow ? 0 : outcome.retryAfterMs,
    delayMs: shadow ? 0 : outcome.delayMs,
    reason: allowed ? "ok" : denial,
  };
}
