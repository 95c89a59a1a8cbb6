/** Outcomes under a limit of 0 and of unlimited keys; and how an outcome becomes a verdict. */
import type { Outcome } from "../limit/algorithm.ts";
import type { Verdict } from "../limit/decision.ts";
import { MAX_UNITS } from "../limit/policy-schema.ts";
import type { CounterPolicy } from "./check.ts";

/** The outcome under a limit of 0, which no algorithm knows: nothing ever passes. */
export function nothing({ windowMs }: CounterPolicy, nowMs: number): Outcome {
  const retryAfterMs = windowMs - (nowMs % windowMs);
  return { allowed: false, remaining: 0, resetMs: 0, retryAfterMs, delayMs: 0, state: undefined };
}

/** The outcome for a key that an override leaves unlimited: all passes, and nothing is counted. */
export const EVERYTHING: Outcome = {
  allowed: true,
  remaining: MAX_UNITS,
  resetMs: 0,
  retryAfterMs: 0,
  delayMs: 0,
  state: undefined,
};

/** Returns the verdict to act on: a denial in shadow is reported, not enforced, and holds nothing. */
export function enforced({ shadow }: CounterPolicy, outcome: Omit<Outcome, "state">): Verdict {
  const { allowed, remaining, resetMs } = outcome;
  const denial = shadow ? "shadow" : outcome.blocked ? "blocked" : "limited";
  // Field by field: to copy the other fields with `...` takes longer than the whole decision.
  return {
    allowed: allowed || shadow,
    remaining,
    resetMs,
    retryAfterMs: shadow ? 0 : outcome.retryAfterMs,
    delayMs: shadow ? 0 : outcome.delayMs,
    reason: allowed ? "ok" : denial,
  };
}
