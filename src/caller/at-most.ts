/**
 * Replies to checks that take what is left of their cost instead of being denied (`atMost`).
 *
 * All policies of a check take the same amount: the least that one of them leaves.
 */
import type { Decision, Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { Question, Reply } from "./question.ts";

/**
 * Returns the policy of a check that takes at most `cost` units. The cost may exceed the capacity,
 * which an override may have raised.
 */
export function upTo(policy: Policy, cost: number): Policy {
  return { ...policy, cost, atMost: true };
}

/**
 * Returns the reply to a check that takes what is left. Each decision says how much it took. The
 * question then costs that much, so that a refund gives back the same amount.
 *
 * @param verdicts what each policy took. An owner of an earlier version does not say, and a policy
 *   that nobody counted cannot: then it took all of the cost, or nothing.
 */
export function withTaken(
  question: Question,
  decisions: readonly Decision[],
  verdicts: readonly Pick<Verdict, "taken">[],
  atMs: number,
): Reply {
  const isAllowed = decisions.every(({ allowed }) => allowed);
  const costs = question.policies.map((policy, at) => verdicts[at]?.taken ?? mostOf(policy));
  const taken = isAllowed ? Math.min(...costs) : 0;
  return {
    question: taken > 0 ? costing(question, taken) : question,
    decisions: decisions.map((decision) => ({ ...decision, taken })),
    atMs,
  };
}

/** Returns the most of the cost that can pass at once: in shadow, all of it. */
function mostOf({ cost, capacity, shadow }: Policy): number {
  return shadow ? cost : Math.min(cost, capacity || cost);
}

/**
 * Makes the replies to one check under several keys report the same amount: the least of them.
 *
 * @returns the replies, and what was taken beyond that amount, to be given back
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

/** Lowers what a reply says it took to `least`, and adds the rest to `surplus`. */
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
