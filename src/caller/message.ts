/** A question on its way to an owner: no raw key any more, and of its policies only the counting. */
import type { Policy } from "../limit/policy.ts";
import type { CounterPolicy, Refund } from "../owner/counters.ts";
import type { Region } from "../ring/region.ts";
import type { Asked } from "./denial-cache.ts";
import type { Question } from "./question.ts";

export interface Message {
  question: Question;
  check: Refund;
  region: Region;
  owner: string;
  /** The ring's by which that is the owner. */
  version: number;
  /** Its place among the questions, and so in the answer. */
  index: number;
}

export function askedOf({ question, check, owner }: Message): Asked {
  return { key: check.key, owner, policies: question.policies };
}

/** The check with so many units more on its one policy, for a lease. */
export function widened(check: Refund, slice: number): Refund {
  if (slice === 0) return check;
  const policies = check.policies.map((policy) => ({ ...policy, cost: policy.cost + slice }));
  return { ...check, policies };
}

const counterPolicies = new WeakMap<Policy, CounterPolicy>();

/** What an owner needs to know of a policy; the same object each time, so that a batch tells it once. */
export function counterPolicy(policy: Policy): CounterPolicy {
  const known = counterPolicies.get(policy);
  if (known) return known;
  const { name, algorithm, limit, windowMs, capacity, cost, shadow, durable } = policy;
  const made = { name, algorithm, limit, windowMs, capacity, cost, shadow, durable };
  counterPolicies.set(policy, made);
  return made;
}
