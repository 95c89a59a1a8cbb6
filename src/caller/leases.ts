/**
 * Slices of a hot key's quota that the owner has handed to this isolate, already deducted there.
 *
 * A request that a lease pays for costs no call. Never lets more pass than the limit, since what is
 * leased is spent as far as the owner knows; what an isolate leaves of its lease at the window's end
 * is lost. A lease pays only while its owner was heard of in the last 5 s, in the epoch in which the
 * owner last decided on the key: so a block or a reset made elsewhere ends it within 5 s.
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

/** What a check tells its owner for a lease's sake. */
export interface LeaseRequest {
  /** Units to spend beyond the cost. */
  slice: number;
  /** The owner's clock when it last confirmed the units that are left; undefined if none are. */
  leasedAtMs: number | undefined;
}

export const NO_LEASE: LeaseRequest = { slice: 0, leasedAtMs: undefined };

/** What an owner answered about a lease. */
export interface LeaseAnswer extends Omit<Memory, "isAskedAgain"> {
  /** The owner's clock. */
  atMs: number;
  /** The ring's by which it answered. */
  version: number;
  /** Has the lease that the request told of ended with a reset? */
  isEnded: boolean;
}

/** What is asked, and the version of the ring that leads to the owner. */
type LeaseAsked = Asked & { version: number };

interface Lease extends Memory {
  key: KeyHash;
  owner: string;
  /** The last ring's that is known to leave the key with this owner. */
  version: number;
  policy: Policy;
  /** How often the key was asked about since it was first seen. */
  checks: number;
  /** What is left to spend. */
  units: number;
  /** What the owner had left when it was last asked, the lease not included. */
  ownersRemaining: number;
  /** When the owner last confirmed the units, by its clock. */
  atMs: number;
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
  spend(asked: LeaseAsked, nowMs: number): Verdict | undefined {
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

  /** What to tell the owner, and to ask it for: a slice only if the key is hot. */
  request(asked: LeaseAsked, nowMs: number): LeaseRequest {
    const policy = leasable(asked);
    const lease = policy && this.#find(asked, policy, nowMs);
    if (!lease) return NO_LEASE;
    const leasedAtMs = lease.units > 0 ? lease.atMs : undefined;
    const slice = Math.floor(policy.limit * policy.lease);
    const isHot = lease.checks >= HOT_CHECKS && policy.cost + slice <= lease.ownersRemaining;
    return { slice: isHot && lease.units < policy.cost ? slice : 0, leasedAtMs };
  }

  /**
   * Takes note of what an owner said to a check of its own. A block ends the key's lease.
   *
   * @param answer with when the check was sent: the owner's window ends no earlier than the time it
   *   says after that
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    { slice, leasedAtMs }: LeaseRequest,
    { isEnded, ...answer }: LeaseAnswer,
  ): void {
    const [verdict] = verdicts;
    const policy = leasable(asked);
    if (verdict?.reason === "blocked") this.forget(asked.key);
    if (!policy || !verdict || verdict.reason === "blocked") return;
    const id = mapKey(asked.key);
    const before = this.#find({ ...asked, version: answer.version }, policy, answer.sentMs);
    const kept = before && !isEnded ? before.units : 0;
    // Units that came when the check was under way are confirmed by a later one.
    const isConfirmed =
      kept === 0 || (leasedAtMs !== undefined && before !== undefined && leasedAtMs <= before.atMs);
    const memory = isConfirmed || !before ? answer : before;
    this.#leases.delete(id);
    this.#leases.set(id, {
      sentMs: memory.sentMs,
      epoch: memory.epoch,
      lastHeard: answer.lastHeard,
      isAskedAgain: false,
      key: asked.key,
      owner: asked.owner,
      version: answer.version,
      policy,
      checks: (before?.checks ?? 0) + 1,
      units: kept + (verdict.reason === "ok" ? slice : 0),
      ownersRemaining: verdict.remaining,
      atMs: Math.min(memory.atMs, answer.atMs),
      untilMs: answer.sentMs + verdict.resetMs - MARGIN_MS,
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

  #find({ key, owner, version }: LeaseAsked, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#get(key, policy, nowMs);
    // After two changes of the ring the key may have been elsewhere meanwhile, and reset there.
    if (lease?.owner !== owner || version - lease.version > 1) return undefined;
    lease.version = Math.max(lease.version, version);
    return lease;
  }

  #get(key: KeyHash, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#leases.get(mapKey(key));
    if (!lease || !isSameKey(lease.key, key) || nowMs >= lease.untilMs) return undefined;
    return isSame(lease.policy, policy) ? lease : undefined;
  }
}

/**
 * The policy that a lease could pay for; of several, none could be left uncounted, and what is left
 * in all only the owner knows.
 */
function leasable({ policies }: Asked): Policy | undefined {
  const policy = policies[0];
  const isLeasable = policy && policy.lease > 0 && policies.length === 1 && !policy.atMost;
  return isLeasable ? policy : undefined;
}

function isSame(one: Policy, other: Policy): boolean {
  return one.name === other.name && one.limit === other.limit && one.windowMs === other.windowMs;
}
