/**
 * Checks that take what is left of their cost instead of being denied: what their replies say.
 *
 * All policies of a check take the same amount, the least that one of them leaves.
 */
import type { Decision, Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Question, Reply } from "./question.ts";

/** Returns the policy for a check that takes up to so many units, which may be more than it holds. */
export function upTo(policy: Policy, cost: number): Policy {
  return { ...policy, cost: Math.min(cost, policy.capacity || cost), atMost: true };
}

/**
 * Returns the reply to a check that takes what is left: each decision tells how much that was, and
 * the question costs as much, so that as much is given back.
 *
 * @param verdicts what each policy took; absent where an owner of an earlier version did not say,
 *   and where none was asked: all of the cost, or nothing
 */
export function withTaken(
  question: Question,
  decisions: readonly Decision[],
  verdicts: readonly Pick<Verdict, "taken">[],
  atMs: number,
): Reply {
  const isAllowed = decisions.every(({ allowed }) => allowed);
  const costs = question.policies.map(({ cost }, at) => verdicts[at]?.taken ?? cost);
  const taken = isAllowed ? Math.min(...costs) : 0;
  return {
    question: taken > 0 ? costing(question, taken) : question,
    decisions: decisions.map((decision) => ({ ...decision, taken })),
    atMs,
  };
}

/**
 * Makes the replies to each check under several keys tell the same amount.
 *
 * @returns the replies, and what was taken beyond that, to be given back
 */
export function evenOutAll(groups: readonly (readonly Reply[])[]): {
  even: (readonly Reply[])[];
  surplus: Reply[];
} {
  const surplus: Reply[] = [];
  const even = groups.map((replies) => {
    const least = Math.min(...replies.map(takenBy));
    return least === 0 ? replies : replies.map((reply) => reduce(reply, least, surplus));
  });
  return { even, surplus };
}

function takenBy({ decisions }: Reply): number {
  return decisions[0]?.taken ?? 0;
}

/** Makes a reply tell of less than it took, and adds the rest to `surplus`. */
function reduce(reply: Reply, least: number, surplus: Reply[]): Reply {
  const more = takenBy(reply) - least;
  if (more === 0) return reply;
  surplus.push({ ...reply, question: costing(reply.question, more) });
  const decisions = reply.decisions.map((decision) => {
    const remaining = decision.remaining + (decision.reason === "ok" ? more : 0);
    return { ...decision, taken: least, remaining };
  });
  return { ...reply, question: costing(reply.question, least), decisions };
}

function costing(question: Question, cost: number): Question {
  return { ...question, policies: question.policies.map((policy) => ({ ...policy, cost })) };
}
