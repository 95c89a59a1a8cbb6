/**
 * Slices of a hot key's quota that the owner has handed to this isolate, already deducted there.
 *
 * A request that a lease pays for costs no call. Never lets more pass than the limit, since what is
 * leased is spent as far as the owner knows; what an isolate leaves of its lease at the window's end
 * is lost. The other price: a block or a reset reaches a lease only in its own isolate.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Asked } from "./denial-cache.ts";

/** Checks of a key in this isolate and window from which on it counts as hot. */
const HOT_CHECKS = 3;
/** A lease ends this much before its window: an isolate's clock stands still while it computes. */
const MARGIN_MS = 50;
/** At about 200 bytes each, 2 MB of the isolate's 128. */
const MAX_KEYS = 10_000;

interface Lease {
  owner: string;
  limit: number;
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
  /** The keys that were seen, the oldest first, by hash and policy. */
  readonly #leases = new Map<string, Lease>();

  /** Spends from the key's lease; undefined if there is none, or not enough of it. */
  spend({ key, owner, policies }: Asked, nowMs: number): Verdict | undefined {
    const [policy] = policies;
    if (!policy?.lease) return undefined;
    const lease = this.#leases.get(idOf(key, policy));
    if (!lease || lease.owner !== owner || lease.limit !== policy.limit) return undefined;
    if (lease.units < policy.cost || nowMs >= lease.untilMs) return undefined;
    lease.units -= policy.cost;
    const remaining = lease.units + lease.ownersRemaining;
    const resetMs = lease.untilMs + MARGIN_MS - nowMs;
    return { allowed: true, remaining, resetMs, retryAfterMs: 0, delayMs: 0, reason: "ok" };
  }

  /** How many units to ask the owner for beyond the cost; 0 unless the key is hot. */
  sliceFor({ key, owner, policies }: Asked, nowMs: number): number {
    const [policy, ...others] = policies;
    if (!policy?.lease || others.length > 0) return 0;
    const lease = this.#leases.get(idOf(key, policy));
    if (!lease || lease.owner !== owner || nowMs >= lease.untilMs) return 0;
    const slice = Math.floor(policy.limit * policy.lease);
    return lease.checks >= HOT_CHECKS && policy.cost + slice <= lease.ownersRemaining ? slice : 0;
  }

  /**
   * Takes note of what an owner said to a check of its own.
   *
   * @param slice what was asked for beyond the cost
   * @param sentMs when the check was sent, ms since the epoch: the owner's window ends no earlier
   *   than the time it says after that
   */
  add({ key, owner, policies }: Asked, verdict: Verdict, slice: number, sentMs: number): void {
    const [policy] = policies;
    if (!policy?.lease) return;
    const id = idOf(key, policy);
    const before = this.#leases.get(id);
    const isSameWindow = before !== undefined && before.owner === owner && sentMs < before.untilMs;
    this.#leases.delete(id);
    this.#leases.set(id, {
      owner,
      limit: policy.limit,
      checks: (isSameWindow ? before.checks : 0) + 1,
      units: (isSameWindow ? before.units : 0) + (verdict.allowed ? slice : 0),
      ownersRemaining: verdict.remaining,
      untilMs: sentMs + verdict.resetMs - MARGIN_MS,
    });
    if (this.#leases.size > MAX_KEYS) {
      const [oldest] = this.#leases.keys();
      if (oldest !== undefined) this.#leases.delete(oldest);
    }
  }

  /** Puts units back that were spent from the key's lease. */
  giveBack(key: KeyHash, policy: Policy, nowMs: number): void {
    const lease = this.#leases.get(idOf(key, policy));
    if (lease && nowMs < lease.untilMs) lease.units += policy.cost;
  }

  /** Ends the key's leases under these policies; what is left of them is lost. */
  forget(key: KeyHash, policies: readonly Policy[]): void {
    for (const policy of policies) this.#leases.delete(idOf(key, policy));
  }
}

function idOf({ hi, lo }: KeyHash, { name, windowMs }: Policy): string {
  return `${hi}:${lo}:${windowMs}:${name}`;
}
