/**
 * Slices of a hot key's quota that the owner has handed to this isolate, already deducted there.
 *
 * A request that a lease pays for costs no call. Never lets more pass than the limit, since what is
 * leased is spent as far as the owner knows; what an isolate leaves of its lease at the window's end
 * is lost. A lease pays only while its owner was heard of in the last 5 s, in the epoch in which the
 * owner last decided on the key: so a block made elsewhere ends it within 5 s.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { isSameKey, type KeyHash, mapKey } from "../ring/key-hash.ts";
import type { Asked } from "./denial-cache.ts";
import { believedUntilMs, isDue, type Memory } from "./hearings.ts";

/** Checks of a key in this isolate and window from which on it counts as hot. */
const HOT_CHECKS = 3;
/** A lease ends this much before its window: an isolate's clock stands still while it computes. */
const MARGIN_MS = 50;
/** At about 200 bytes each, 2 MB of the isolate's 128. */
const MAX_KEYS = 10_000;

interface Lease extends Memory {
  key: KeyHash;
  owner: string;
  policy: Policy;
  /** How often the key was asked about since it was first seen. */
  checks: number;
  /** What is left to spend. */
  units: number;
  /** What the owner had left when it was last asked, the lease not included. */
  ownersRemaining: number;
  /** End of the window, ms since the epoch. */
  untilMs: number;
}

export class Leases {
  /**
   * The keys that were seen, the oldest first, by `mapKey`: of each, the policy it was last asked
   * under.
   */
  readonly #leases = new Map<number, Lease>();

  /** Spends from the key's lease; undefined if there is none, or not enough of it. */
  spend(asked: Asked, nowMs: number): Verdict | undefined {
    const policy = leasable(asked);
    const lease = policy && this.#find(asked, policy, nowMs);
    if (!lease || lease.units < policy.cost || nowMs >= believedUntilMs(lease)) return undefined;
    if (isDue(lease, nowMs)) {
      lease.isAskedAgain = true;
      return undefined;
    }
    lease.units -= policy.cost;
    const remaining = lease.units + lease.ownersRemaining;
    const resetMs = lease.untilMs + MARGIN_MS - nowMs;
    return { allowed: true, remaining, resetMs, retryAfterMs: 0, delayMs: 0, reason: "ok" };
  }

  /** How many units to ask the owner for beyond the cost; 0 unless the key is hot. */
  sliceFor(asked: Asked, nowMs: number): number {
    const policy = leasable(asked);
    const lease = policy && this.#find(asked, policy, nowMs);
    if (!lease || lease.units >= policy.cost) return 0;
    const slice = Math.floor(policy.limit * policy.lease);
    return lease.checks >= HOT_CHECKS && policy.cost + slice <= lease.ownersRemaining ? slice : 0;
  }

  /**
   * Takes note of what an owner said to a check of its own. A block ends the key's lease.
   *
   * @param slice what was asked for beyond the cost
   * @param memory when the check was sent: the owner's window ends no earlier than the time it says
   *   after that
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    slice: number,
    memory: Omit<Memory, "isAskedAgain">,
  ): void {
    const [verdict] = verdicts;
    const policy = leasable(asked);
    if (verdict?.reason === "blocked") this.forget(asked.key);
    if (!policy || !verdict || verdict.reason === "blocked") return;
    const id = mapKey(asked.key);
    const before = this.#find(asked, policy, memory.sentMs);
    this.#leases.delete(id);
    this.#leases.set(id, {
      ...memory,
      isAskedAgain: false,
      key: asked.key,
      owner: asked.owner,
      policy,
      checks: (before?.checks ?? 0) + 1,
      units: (before?.units ?? 0) + (verdict.reason === "ok" ? slice : 0),
      ownersRemaining: verdict.remaining,
      untilMs: memory.sentMs + verdict.resetMs - MARGIN_MS,
    });
    if (this.#leases.size > MAX_KEYS) {
      const [oldest] = this.#leases.keys();
      if (oldest !== undefined) this.#leases.delete(oldest);
    }
  }

  /** Puts units back that were spent from the key's lease. */
  giveBack(asked: Asked, nowMs: number): void {
    const [policy] = asked.policies;
    const lease = policy && this.#get(asked.key, policy, nowMs);
    if (lease) lease.units += policy.cost;
  }

  /** Ends the key's lease; what is left of it is lost. */
  forget(key: KeyHash): void {
    this.#leases.delete(mapKey(key));
  }

  #find({ key, owner }: Asked, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#get(key, policy, nowMs);
    return lease?.owner === owner ? lease : undefined;
  }

  #get(key: KeyHash, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#leases.get(mapKey(key));
    if (!lease || !isSameKey(lease.key, key) || nowMs >= lease.untilMs) return undefined;
    return isSame(lease.policy, policy) ? lease : undefined;
  }
}

/** The policy that a lease could pay for; of several, none could be left uncounted. */
function leasable({ policies }: Asked): Policy | undefined {
  const policy = policies[0];
  return policy && policy.lease > 0 && policies.length === 1 ? policy : undefined;
}

function isSame(one: Policy, other: Policy): boolean {
  return one.name === other.name && one.limit === other.limit && one.windowMs === other.windowMs;
}
