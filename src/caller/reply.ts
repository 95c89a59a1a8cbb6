/** Makes replies from verdicts, and says what replies have spent. */
import type { Decision, Source, Verdict } from "../limit/decision.ts";
import { withTaken } from "./at-most.ts";
import type { Question, Reply, Returned } from "./question.ts";

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
