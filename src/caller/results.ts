/** Builds replies from verdicts, and lists what replies have spent. */
import type { Decision, Source, Verdict } from "../limit/decision.ts";
import type { Answer } from "../protocol/wire-answer.ts";
import { withTaken } from "./at-most.ts";
import type { Message } from "./message.ts";
import type { Question, Reply, Returned } from "./question.ts";

/**
 * Builds a reply from verdicts of an owner, a lease, the denial cache or this isolate.
 *
 * @param isInexact whether the owner may have lost some of the count
 */
export function replyOf(
  question: Question,
  verdicts: readonly Verdict[],
  source: Source,
  atMs: number,
  isInexact = false,
): Reply {
  const decisions = question.policies.map(({ name, limit }, at): Decision => {
    const verdict = verdicts[at] as Verdict;
    const { allowed, remaining, resetMs, retryAfterMs, delayMs, reason } = verdict;
    return {
      allowed,
      policy: name,
      limit: verdict.limit ?? limit,
      remaining,
      resetMs,
      retryAfterMs,
      delayMs,
      reason,
      source,
      // The units left of a lease are known; those that the owner has beyond it are not.
      exact: source !== "lease" && source !== "local" && !isInexact,
    };
  });
  if (question.policies[0]?.atMost) return withTaken(question, decisions, verdicts, atMs);
  return { question, decisions, atMs };
}

/** Returns false without an answer, if the key kept moving, and if the verdicts make no sense. */
export function isAnswered(answer: Answer | undefined, index: number): answer is Answer {
  return (answer?.verdicts[index]?.length ?? 0) > 0;
}

/** Builds the reply to a message from its owner's answer. */
export function ownerReply({ question }: Message, answer: Answer, index: number): Reply {
  const { verdicts, atMs, inexact } = answer;
  return replyOf(question, verdicts[index] ?? [], "owner", atMs, inexact?.[index]);
}

/**
 * Returns what was spent on questions that passed, each policy by itself, and where it was counted.
 *
 * Only `ok` has spent anything. A policy in shadow that would have denied took nothing. If an owner
 * did not answer, nobody knows what it counted.
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
