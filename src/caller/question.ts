/** What a caller is asked and what it replies. */

import type { Decision, Source, Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Explained } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";
import { withTaken } from "./at-most.ts";

/** A question about one key. */
export interface Question {
  /** Who is limited: parts such as address and route. */
  key: readonly string[];
  /** At least one, with distinct names and of one scope; each says what it costs. */
  policies: readonly Policy[];
  /** Where the request came from, for policies with the scope `region`. */
  region: Region;
}

/** A question and what became of it. */
export interface Reply {
  question: Question;
  /** One for each policy, in order. */
  decisions: Decision[];
  /** The clock of whoever counted, which a refund hands back. */
  atMs: number;
}

/** What was spent on a question, to be given back. */
export interface Returned {
  question: Question;
  /** When by the clock of whoever counted; absent where that is not known. */
  atMs?: number | undefined;
  /** The verdict's of then, where there is one policy; absent where that is not known. */
  resetMs?: number | undefined;
}

/** Why a key is decided on as it is. */
export interface ExplainedKey extends Explained {
  owner: string;
}

export function isAllowed({ decisions }: Reply): boolean {
  return decisions.every(({ allowed }) => allowed);
}

/**
 * Puts a reply together from what an owner, a lease or a memory of either says.
 *
 * @param isUnsure whether the owner may have lost some of what was counted
 */
export function replyOf(
  question: Question,
  verdicts: readonly Verdict[],
  source: Source,
  atMs: number,
  isUnsure = false,
): Reply {
  const decisions = question.policies.map(({ name, limit }, at): Decision => {
    const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason } = verdicts[at] as Verdict;
    return {
      allowed,
      policy: name,
      limit,
      remaining,
      resetMs,
      retryAfterMs,
      delayMs,
      reason,
      source,
      // What is left of a lease is known, what is left beyond it is not.
      exact: source !== "lease" && !isUnsure,
    };
  });
  if (question.policies[0]?.atMost) return withTaken(question, decisions, verdicts, atMs);
  return { question, decisions, atMs };
}

/**
 * Returns what was spent on questions that passed, each policy by itself, and where it was counted.
 *
 * Only what passed as `ok` has been spent: a policy in shadow that would have denied has taken
 * nothing, and where an owner did not answer, what it counted is not known.
 */
export function spentIn(replies: readonly Reply[]): { returned: Returned; source: Source }[] {
  return replies.flatMap(({ question, decisions, atMs }) =>
    decisions.flatMap(({ reason, source, resetMs }, at) => {
      const policies = question.policies.slice(at, at + 1);
      return reason === "ok"
        ? { returned: { question: { ...question, policies }, atMs, resetMs }, source }
        : [];
    }),
  );
}
