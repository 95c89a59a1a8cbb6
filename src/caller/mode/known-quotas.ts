/**
 * What each key had left by its owner's last answer, and the units of checks that are in flight to
 * the owner.
 *
 * An estimate, since other isolates spend meanwhile. Bounded: the keys that were asked about longest
 * ago are forgotten first.
 */
import type { Decision } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";
import { first53Bits, type KeyHash } from "../../ring/key-hash.ts";
import { PolicyNumbers } from "../policy-numbers.ts";
import { RecentMap } from "../recent-map.ts";

/** The most keys remembered: 7 MB of the isolate's 128, at about 140 bytes each. */
const MAX_KEYS = 50_000;

export interface KnownQuota {
  /** See `PolicyNumbers`. */
  readonly policy: number;
  /** Units left by the owner's last answer; undefined without one, and once the quota is whole. */
  remaining: number | undefined;
  /** Units in a whole quota, by the same answer. */
  limit: number;
  /** When the quota is whole again, ms since the epoch. */
  wholeAtMs: number;
  /** Units of checks that the owner has not answered yet. */
  inFlight: number;
}

export class KnownQuotas {
  /** The quotas of each key, one for each policy, by `first53Bits`. */
  readonly #quotas = new RecentMap<number, KnownQuota[]>(MAX_KEYS);
  readonly #policies = new PolicyNumbers();

  /** Returns the quota of a key under a policy. It is updated in place. */
  of(key: KeyHash, policy: Policy, nowMs: number): KnownQuota {
    const id = first53Bits(key);
    const number = this.#policies.of(policy);
    const quotas = this.#quotas.get(id);
    const known = quotas?.find((each) => each.policy === number);
    if (known) {
      if (nowMs >= known.wholeAtMs) known.remaining = undefined;
      return known;
    }
    if (!quotas && this.#policies.isFull) this.#forgetAll();
    const quota: KnownQuota = {
      policy: number,
      remaining: undefined,
      limit: policy.limit,
      wholeAtMs: 0,
      inFlight: 0,
    };
    // An array that begins empty would reserve room for 17 quotas.
    if (quotas) quotas.push(quota);
    else this.#quotas.set(id, [quota]);
    return quota;
  }

  #forgetAll(): void {
    this.#policies.clear();
    this.#quotas.clear();
  }
}

/** Notes what an owner decided on units that were in flight to it. */
export function update(
  quota: KnownQuota,
  cost: number,
  decision: Decision | undefined,
  nowMs: number,
) {
  quota.inFlight = Math.max(0, quota.inFlight - cost);
  if (!decision || decision.source === "fallback") return;
  quota.remaining = decision.remaining;
  quota.limit = decision.limit;
  quota.wholeAtMs = nowMs + decision.resetMs;
}
