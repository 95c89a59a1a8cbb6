/**
 * Slices of a hot key's quota that the owner has handed to this isolate and counted as spent.
 *
 * A request that a lease pays for costs no call. No more than the limit ever passes, since leased
 * units are spent as far as the owner knows. Units that an isolate leaves at the window's end are
 * lost. A lease pays only if its owner was heard of in the last 5 s and has begun no epoch since
 * its last decision on the key. So a block or a reset made elsewhere ends the lease within 5 s.
 */
import { type Verdict, verdictOf } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { first53Bits, isSameKey, type KeyHash } from "../ring/key-hash.ts";
import type { Asked } from "./denial-cache.ts";
import { isDue, type Memory, trustedUntilMs } from "./owner-pulse.ts";
import { RecentMap } from "./recent-map.ts";

/** From this many checks in one isolate and window on, a key counts as hot. */
const HOT_CHECKS = 3;
/** A lease ends this much before its window: an isolate's clock stands still while it computes. */
const MARGIN_MS = 50;
/** The most keys remembered: 2 MB of the isolate's 128, at about 200 bytes each. */
const MAX_KEYS = 10_000;

/** What a check asks of its owner, and tells it, about leases. */
export interface LeaseRequest {
  /** Units to spend beyond the cost. */
  slice: number;
  /** The owner's clock when it last confirmed the units left here; undefined if none are left. */
  leasedAtMs: number | undefined;
}

export const NO_LEASE: LeaseRequest = { slice: 0, leasedAtMs: undefined };

/** What an owner's answer says about a lease. */
export interface LeaseAnswer extends Omit<Memory, "isRenewing"> {
  atMs: number;
  /** Version of the ring by which it answered. */
  version: number;
  /** Whether a reset has ended the lease that the request told of. */
  isEnded: boolean;
}

/** A check, and the version of the ring that named its owner. */
type LeaseAsked = Asked & { version: number };

interface Lease extends Memory {
  key: KeyHash;
  owner: string;
  /** Version of the last ring known to leave the key with this owner. */
  version: number;
  policy: Policy;
  /** Checks of the key since it was first seen in this window. */
  checks: number;
  units: number;
  /** As in the owner's verdict. */
  limit: number | undefined;
  /** Units that the owner had left when it was last asked, without the lease. */
  ownersRemaining: number;
  /** When the owner last confirmed the units, by its clock. */
  atMs: number;
  /** End of the window, ms since the epoch. */
  untilMs: number;
}

export class Leases {
  /** The keys seen, by `first53Bits`. Each has the policy it was last asked under. */
  readonly #leases = new RecentMap<number, Lease>(MAX_KEYS);

  /**
   * Spends from the key's lease. Returns undefined if the lease lacks the units, is no longer
   * trusted, or is due to be renewed by this request.
   */
  spend(asked: LeaseAsked, nowMs: number): Verdict | undefined {
    const policy = leasable(asked);
    const lease = policy && this.#find(asked, policy, nowMs);
    if (!lease || lease.units < policy.cost || nowMs >= trustedUntilMs(lease)) return undefined;
    if (isDue(lease, nowMs)) {
      lease.isRenewing = true;
      return undefined;
    }
    lease.units -= policy.cost;
    const remaining = lease.units + lease.ownersRemaining;
    const resetMs = lease.untilMs + MARGIN_MS - nowMs;
    const verdict = verdictOf(0, remaining, resetMs, 0, 0);
    return lease.limit === undefined ? verdict : { ...verdict, limit: lease.limit };
  }

  /**
   * Returns what to tell the owner, and how many units to ask it for: a slice only for a hot key.
   */
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
   * Notes what an owner answered to a check. A block ends the key's lease.
   *
   * @param answer includes when the check was sent. The owner's window ends no earlier than the
   *   verdict's `resetMs` after that.
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    { slice, leasedAtMs }: LeaseRequest,
    answer: LeaseAnswer,
  ): void {
    const [verdict] = verdicts;
    const policy = leasable(asked);
    if (verdict?.reason === "blocked") this.forget(asked.key);
    if (!policy || !verdict || verdict.reason === "blocked") return;
    const id = first53Bits(asked.key);
    const before = this.#find({ ...asked, version: answer.version }, policy, answer.sentMs);
    const kept = before && !answer.isEnded ? before.units : 0;
    // A check confirms only the units that it told of. A later one confirms those leased meanwhile.
    const isConfirmed =
      kept === 0 || (leasedAtMs !== undefined && before !== undefined && leasedAtMs <= before.atMs);
    const memory = isConfirmed || !before ? answer : before;
    this.#leases.set(id, {
      sentMs: memory.sentMs,
      epoch: memory.epoch,
      lastHeard: answer.lastHeard,
      isRenewing: false,
      key: asked.key,
      owner: asked.owner,
      version: answer.version,
      policy,
      checks: (before?.checks ?? 0) + 1,
      units: kept + (verdict.reason === "ok" ? slice : 0),
      limit: verdict.limit,
      ownersRemaining: verdict.remaining,
      atMs: Math.min(memory.atMs, answer.atMs),
      untilMs: answer.sentMs + verdict.resetMs - MARGIN_MS,
    });
  }

  /** Puts the cost of a check back into the lease that has paid it. */
  undo(asked: Asked, nowMs: number): void {
    const [policy] = asked.policies;
    const lease = policy && this.#get(asked.key, policy, nowMs);
    if (lease) lease.units += policy.cost;
  }

  /** Ends the key's lease; what is left of it is lost. */
  forget(key: KeyHash): void {
    this.#leases.delete(first53Bits(key));
  }

  #find({ key, owner, version }: LeaseAsked, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#get(key, policy, nowMs);
    // Between two ring changes, another owner may have held the key, and reset it.
    if (lease?.owner !== owner || version - lease.version > 1) return undefined;
    lease.version = Math.max(lease.version, version);
    return lease;
  }

  #get(key: KeyHash, policy: Policy, nowMs: number): Lease | undefined {
    const lease = this.#leases.get(first53Bits(key));
    if (!lease || !isSameKey(lease.key, key) || nowMs >= lease.untilMs) return undefined;
    return isSame(lease.policy, policy) ? lease : undefined;
  }
}

/**
 * Returns the policy that a lease could pay for; undefined with several policies. Each of them must
 * count, and only the owner knows what is left under all of them.
 */
function leasable({ policies }: Asked): Policy | undefined {
  const policy = policies[0];
  const isLeasable = policy && policy.lease > 0 && policies.length === 1 && !policy.atMost;
  return isLeasable ? policy : undefined;
}

function isSame(one: Policy, other: Policy): boolean {
  return one.name === other.name && one.limit === other.limit && one.windowMs === other.windowMs;
}
