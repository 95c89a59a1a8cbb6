/**
 * Decides when the owner does not answer: each policy's `onFailure`, in this isolate.
 *
 * Never exact. With `local`, each isolate counts by itself from nothing. So while an owner is gone,
 * ten isolates may let ten times the limit pass. Knows no operator's blocks and overrides.
 */

import type { checkOnce } from "../counters/answers.ts";
import type { Check, Refund } from "../counters/check.ts";
import { Counters } from "../counters/counters.ts";
import type { Decision, Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { OPEN_MS } from "../protocol/breaker.ts";
import { withTaken } from "./at-most.ts";
import { checkOf, type Message } from "./message.ts";
import type { Reply } from "./question.ts";

/** Bytes of rows: 80,000 keys of a fixed window, in up to 3.4 MB of the isolate's 128. */
const MAX_BYTES = 2_000_000;

export class Fallback {
  /** Set in the deployed Worker, whose callers alone send a `requestId`. */
  static checkOnce: typeof checkOnce | undefined;
  readonly #counters = new Counters({ maxBytes: MAX_BYTES });

  reply(verb: "check" | "peek", message: Message, atMs: number): Reply {
    const { question, policies } = message;
    const decisions = this.decide(verb, checkOf(message), policies, atMs);
    if (policies[0]?.atMost) return withTaken(question, decisions, decisions, atMs);
    return { question, decisions, atMs };
  }

  /** Decides as the owner would, from what this isolate has counted while the owner was gone. */
  decide(
    verb: "check" | "peek",
    // Makes no hold: the owner charges the actual cost when the hold is settled.
    { policies: all, reserve: _, ...check }: Check,
    policies: readonly Policy[],
    nowMs: number,
  ): Decision[] {
    const isCounted = policies.map(({ onFailure }) => onFailure === "local");
    const counted = { ...check, policies: all.filter((_, at) => isCounted[at]) };
    // All or none: if one policy denies because its owner is gone, the others spend nothing.
    const isVain = policies.some(({ onFailure, shadow }) => onFailure === "deny" && !shadow);
    const verdicts = this.#decide(isVain ? "peek" : verb, counted, nowMs).values();
    return policies.map((policy, at) => ({
      ...(isCounted[at] ? (verdicts.next().value as Verdict) : uncounted(policy)),
      policy: policy.name,
      limit: policy.limit,
      source: "fallback",
      exact: false,
    }));
  }

  refund(refund: Refund, nowMs: number): void {
    this.#counters.refund(refund, nowMs);
  }

  reset(check: Check): void {
    this.#counters.reset(check);
  }

  #decide(verb: "check" | "peek", check: Check, nowMs: number): Verdict[] {
    const isOnce = verb === "check" && check.requestId !== undefined;
    if (isOnce && Fallback.checkOnce) return Fallback.checkOnce(this.#counters, check, nowMs);
    return this.#counters[verb](check, nowMs);
  }
}

/** Returns the verdict under a policy that does not count here: nobody knows what is left. */
function uncounted({ onFailure, shadow }: Policy): Verdict {
  const allowed = onFailure === "allow" || shadow;
  const retryAfterMs = allowed ? 0 : OPEN_MS;
  return { allowed, remaining: 0, resetMs: 0, retryAfterMs, delayMs: 0, reason: "failed" };
}
