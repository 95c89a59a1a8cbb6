/**
 * What is answered when the owner does not: each policy's `onFailure`, in this isolate.
 *
 * Never exact. With `local`, each isolate counts for itself from nothing, so with many isolates up to
 * that many times the limit can pass while an owner is gone.
 */
import type { Decision } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { type Check, Counters } from "../owner/counters.ts";
import { OPEN_MS } from "./breaker.ts";

/** At about 40 bytes each, 2 MB of the isolate's 128. */
const MAX_COUNTERS = 50_000;

export class Fallback {
  #counters = new Counters();

  /** Decides as the owner would have, from what this isolate saw while the owner was gone. */
  decide(
    verb: "check" | "peek",
    { key, cost }: Check,
    policies: readonly Policy[],
    nowMs: number,
  ): Decision[] {
    if (this.#counters.size >= MAX_COUNTERS) this.#makeRoom(nowMs);
    const counted = policies.filter(({ onFailure }) => onFailure === "local");
    const verdicts = this.#counters[verb]({ key, cost, policies: counted }, nowMs);
    return policies.map((policy) => {
      const verdict = verdicts[counted.indexOf(policy)];
      const about = { policy: policy.name, limit: policy.limit } as const;
      const from = { source: "fallback", exact: false } as const;
      if (verdict) return { ...verdict, ...about, ...from, reason: reasonOf(verdict.allowed) };
      const allowed = policy.onFailure === "allow";
      return {
        allowed,
        remaining: 0,
        resetMs: 0,
        retryAfterMs: allowed ? 0 : OPEN_MS,
        delayMs: 0,
        ...about,
        ...from,
        reason: "failed",
      };
    });
  }

  #makeRoom(nowMs: number): void {
    this.#counters.sweep(nowMs);
    if (this.#counters.size >= MAX_COUNTERS) this.#counters = new Counters();
  }
}

function reasonOf(allowed: boolean): "ok" | "limited" {
  return allowed ? "ok" : "limited";
}
