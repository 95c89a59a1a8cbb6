/**
 * A question on its way to an owner: a hash in place of the key, and what counting needs of its
 * policies.
 */

import type { CounterPolicy, Refund } from "../counters/counters.ts";
import type { Policy } from "../limit/policy.ts";
import type { Region } from "../ring/region.ts";
import type { Asked } from "./denial-cache.ts";
import { type LeaseRequest, NO_LEASE } from "./leases.ts";
import type { Question, Returned } from "./question.ts";

export interface Message extends Asked {
  question: Question;
  /** Index of the question among those asked together, and so of its reply. */
  index: number;
  region: Region;
  /** Version of the ring that named this owner. */
  version: number;
  /** What `DenialCache.generationOf` said of the key before the call. */
  generation: number;
  /** What a refund gives back; undefined for any other verb. */
  returned: Returned | undefined;
}

/**
 * Returns what the owner is sent.
 *
 * @param slice units to spend beyond the cost of its one policy, for a lease
 * @param leasedAtMs when the owner last confirmed a lease on the key, by its clock
 */
export function checkOf(
  { key, policies, returned, question: { requestId } }: Message,
  { slice, leasedAtMs }: LeaseRequest = NO_LEASE,
): Refund {
  const counted = policies.map(counterPolicy);
  if (returned) {
    return { key, policies: counted, spentAtMs: returned.atMs, resetMs: returned.resetMs };
  }
  const check: Refund = { key, policies: counted };
  if (requestId !== undefined) check.requestId = requestId;
  if (leasedAtMs !== undefined) check.spentAtMs = leasedAtMs;
  if (slice === 0) return check;
  return {
    ...check,
    policies: counted.map((policy) => ({ ...policy, cost: policy.cost + slice })),
  };
}

const counterPolicies = new WeakMap<Policy, CounterPolicy>();

/**
 * Returns what an owner needs to know of a policy: the same object each time, so that a batch has
 * it once.
 */
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
  // Rare fields are left out, so that other policies send nothing for them.
  if (policy.start !== "aligned") made.start = policy.start;
  if (policy.blockFor) made.blockFor = policy.blockFor;
  if (policy.atMost) made.atMost = true;
  counterPolicies.set(policy, made);
  return made;
}
