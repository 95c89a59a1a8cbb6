/** A question on its way to an owner: no raw key any more, and of its policies only the counting. */

import type { CounterPolicy, Refund } from "../counters/counters.ts";
import type { Policy } from "../limit/policy.ts";
import type { Region } from "../ring/region.ts";
import type { Asked } from "./denial-cache.ts";
import { type LeaseRequest, NO_LEASE } from "./leases.ts";
import type { Question, Returned } from "./question.ts";

export interface Message extends Asked {
  question: Question;
  /** Its place among the questions, and so in the answer. */
  index: number;
  region: Region;
  /** The ring's by which the owner is whom to ask. */
  version: number;
  /** What of its key was forgotten when it was addressed; see `DenialCache`. */
  generation: number;
  /** What is given back, if anything is. */
  returned: Returned | undefined;
}

/**
 * What the owner is told of it.
 *
 * @param slice units more than the cost of its one policy, for a lease
 * @param leasedAtMs when the owner last confirmed a lease on the key, by its clock
 */
export function checkOf(
  { key, policies, returned }: Message,
  { slice, leasedAtMs }: LeaseRequest = NO_LEASE,
): Refund {
  const counted = policies.map(counterPolicy);
  if (returned) {
    return { key, policies: counted, spentAtMs: returned.atMs, resetMs: returned.resetMs };
  }
  const check: Refund = { key, policies: counted };
  if (leasedAtMs !== undefined) check.spentAtMs = leasedAtMs;
  if (slice === 0) return check;
  return {
    ...check,
    policies: counted.map((policy) => ({ ...policy, cost: policy.cost + slice })),
  };
}

const counterPolicies = new WeakMap<Policy, CounterPolicy>();

/** What an owner needs to know of a policy; the same object each time, so that a batch tells it once. */
export function counterPolicy(policy: Policy): CounterPolicy {
  const known = counterPolicies.get(policy);
  if (known) return known;
  const { name, algorithm, limit, windowMs, capacity, cost, shadow, durable } = policy;
  const made: CounterPolicy = {
    name,
    algorithm,
    limit,
    windowMs,
    capacity,
    cost,
    shadow,
    durable,
  };
  // What most policies do not ask for crosses no wire.
  if (policy.start !== "aligned") made.start = policy.start;
  if (policy.blockFor) made.blockFor = policy.blockFor;
  if (policy.atMost) made.atMost = true;
  counterPolicies.set(policy, made);
  return made;
}
