/**
 * A question on its way to an owner: a hash in place of the key, and what counting needs of its
 * policies.
 */

import type { CounterPolicy, Refund } from "../counters/check.ts";
import type { Quota } from "../limit/algorithm.ts";
import type { Policy } from "../limit/policy.ts";
import type { Batch } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import type { Asked, DenialCache } from "./denial-cache.ts";
import { type LeaseRequest, NO_LEASE } from "./leases.ts";
import type { Question, Returned } from "./question.ts";
import type { Router } from "./router.ts";

export interface Message extends Asked {
  question: Question;
  /** Index of the question among those asked together, and so of its reply. */
  index: number;
  region: Region;
  /** Version of the ring that named this owner. */
  version: number;
  /** What `DenialCache.generationOf` said of the key before the call. */
  generation: number;
  /** What the owner is told and asked about a lease; see `Leases.request`. */
  lease: LeaseRequest;
  /** What a refund gives back; undefined for any other verb. */
  returned: Returned | undefined;
}

export interface RoutesOptions {
  hash: (parts: readonly string[]) => KeyHash;
  router: Router;
  denials: DenialCache;
  /** The region of keys whose policies have the scope `global`. */
  homeRegion: Region;
}

/** Puts a question on its way. @param returned what a refund gives back */
export type Route = (question: Question, index?: number, returned?: Returned) => Message;

/** Makes the function that puts questions on their way, by the rings as they are then known. */
export function routes({ hash, router, denials, homeRegion }: RoutesOptions): Route {
  return function route(question, index = 0, returned) {
    const { policies } = question;
    const region = policies[0]?.scope === "global" ? homeRegion : question.region;
    const key = hash(question.key);
    const { owner, version } = router.ownerOf(key, region);
    const generation = denials.generationOf(key);
    const lease = NO_LEASE;
    return { question, index, key, policies, region, owner, version, generation, lease, returned };
  };
}

/** Returns what the owner is sent. A slice for a lease is added to the cost. */
export function checkOf({ key, policies, returned, lease, question }: Message): Refund {
  const counted = policies.map(counterPolicy);
  if (returned) {
    const { atMs: spentAtMs, resetMs, settle } = returned;
    return { key, policies: counted, spentAtMs, resetMs, ...(settle && { settle }) };
  }
  const { slice, leasedAtMs } = lease;
  const check: Refund = { key, policies: counted };
  if (question.requestId !== undefined) check.requestId = question.requestId;
  if (question.reserve) check.reserve = question.reserve;
  if (leasedAtMs !== undefined) check.spentAtMs = leasedAtMs;
  if (slice === 0) return check;
  return {
    ...check,
    policies: counted.map((policy) => ({ ...policy, cost: policy.cost + slice })),
  };
}

/** Returns the batch for one owner. All its messages were routed by the same ring. */
export function batchOf(messages: readonly Message[]): Batch {
  return {
    version: messages[0]?.version ?? 0,
    checks: messages.map((message) => checkOf(message)),
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
  // `Required`, so that the compiler asks for a new field that an algorithm counts by.
  const quota: Required<Quota> = { limit, windowMs, capacity };
  const made: CounterPolicy = { name, algorithm, ...quota, cost, shadow, durable };
  // Rare fields are left out, so that other policies send nothing for them.
  if (policy.start !== "aligned") made.start = policy.start;
  if (policy.blockFor) made.blockFor = policy.blockFor;
  if (policy.atMost) made.atMost = true;
  if (policy.held) made.held = true;
  counterPolicies.set(policy, made);
  return made;
}
