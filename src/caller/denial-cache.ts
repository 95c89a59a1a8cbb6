/**
 * Remembers denials in this isolate, so that a client over its limit costs no calls.
 *
 * A remembered denial is as exact as the owner's, with one exception: after a reset, a refund or an
 * unblock, other isolates go on denying for at most `MAX_DENIAL_MS`.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { isSameKey, type KeyHash, mapKey } from "../ring/key-hash.ts";

/** The longest that a denial is remembered. */
export const MAX_DENIAL_MS = 5_000;
/** In so long before its end one request asks again, or all would at once when it has ended. */
const RENEWAL_MS = 250;
/** At about 300 bytes each, 15 MB of the isolate's 128. */
export const MAX_DENIALS = 50_000;

/** What was asked of whom. */
export interface Asked {
  key: KeyHash;
  owner: string;
  policies: readonly Policy[];
}

interface Denial extends Asked {
  /** One for each policy. */
  verdicts: readonly Verdict[];
  /** When they arrived, ms since the epoch: their durations may have been shorter, never longer. */
  heardMs: number;
  /** From then on something may have changed, or it has been remembered for long enough. */
  untilMs: number;
  /** From then on one request asks again; never where the end is when something may change. */
  renewMs: number;
}

export class DenialCache {
  /** The last denial of each key, the oldest first, by `mapKey`. */
  readonly #denials = new Map<number, Denial>();
  #generation = 0;

  /**
   * Counts what `forget` was called for. A denial that was on its way meanwhile is not to be kept.
   */
  get generation(): number {
    return this.#generation;
  }

  get size(): number {
    return this.#denials.size;
  }

  /** Is it known that this would be denied, and not due to be asked again? Changes nothing. */
  denies(asked: Asked, nowMs: number): boolean {
    const denial = this.#get(asked, nowMs);
    return denial !== undefined && nowMs < denial.renewMs;
  }

  /** Returns the verdicts if it is known that this would be denied, with durations as of now. */
  find(asked: Asked, nowMs: number): Verdict[] | undefined {
    const denial = this.#get(asked, nowMs);
    if (!denial) return undefined;
    if (nowMs >= denial.renewMs) {
      denial.renewMs = Number.POSITIVE_INFINITY;
      return undefined;
    }
    const ageMs = Math.max(0, nowMs - denial.heardMs);
    return denial.verdicts.map((verdict) => ({
      ...verdict,
      resetMs: Math.max(0, verdict.resetMs - ageMs),
      retryAfterMs: Math.max(0, verdict.retryAfterMs - ageMs),
    }));
  }

  /**
   * Takes note of what an owner said: a denial is remembered if only time can change it, until what
   * was denied passes.
   *
   * @param when in ms since the epoch the check was sent, from when on the owner counted, with the
   *   `generation` of that time, and when the answer was heard
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    { sentMs, heardMs, generation }: { sentMs: number; heardMs: number; generation: number },
  ): void {
    const { key, owner, policies } = asked;
    const id = mapKey(key);
    const known = this.#denials.get(id);
    const denies = verdicts.some(({ allowed }) => !allowed);
    // What passes elsewhere, or under other policies, says nothing of this.
    if (known && (denies || isAlike(asked, known))) this.#denials.delete(id);
    if (!denies || generation !== this.#generation || mayBeGivenBack(policies, verdicts)) return;
    const changesMs = verdicts
      .flatMap(({ retryAfterMs, resetMs }) => [retryAfterMs, resetMs])
      .filter((ms) => ms > 0);
    const lastsMs = Math.min(MAX_DENIAL_MS, ...changesMs);
    const untilMs = sentMs + lastsMs;
    const renewMs = lastsMs < MAX_DENIAL_MS ? Number.POSITIVE_INFINITY : untilMs - RENEWAL_MS;
    this.#denials.set(id, { key, owner, policies, verdicts, heardMs, untilMs, renewMs });
    if (this.#denials.size > MAX_DENIALS) {
      const [oldest] = this.#denials.keys();
      if (oldest !== undefined) this.#denials.delete(oldest);
    }
  }

  /** @param owner whose denial it is; left out: whoever's */
  forget(key: KeyHash, owner?: string): void {
    this.#generation++;
    const id = mapKey(key);
    if (owner === undefined || this.#denials.get(id)?.owner === owner) this.#denials.delete(id);
  }

  #get(asked: Asked, nowMs: number): Denial | undefined {
    const denial = this.#denials.get(mapKey(asked.key));
    return denial && nowMs < denial.untilMs && isCovered(asked, denial) ? denial : undefined;
  }
}

/** A slot that is freed, or a cost that is not charged after all, ends a denial before its time. */
function mayBeGivenBack(policies: readonly Policy[], verdicts: readonly Verdict[]): boolean {
  return policies.some(
    ({ algorithm, charge }, at) =>
      !verdicts[at]?.allowed && (algorithm === "concurrency" || charge !== "always"),
  );
}

/** Is this the check that was denied, or one that costs more? */
function isCovered(asked: Asked, denied: Asked): boolean {
  return (
    isAlike(asked, denied) &&
    denied.policies.every(({ cost }, at) => cost <= (asked.policies[at] as Policy).cost)
  );
}

/** Are both of one key and owner, under the same policies? A limit may have changed since. */
function isAlike(one: Asked, other: Asked): boolean {
  if (!isSameKey(one.key, other.key) || one.owner !== other.owner) return false;
  if (one.policies.length !== other.policies.length) return false;
  return one.policies.every((policy, at) => {
    const like = other.policies[at] as Policy;
    return (
      policy === like ||
      (policy.name === like.name &&
        policy.algorithm === like.algorithm &&
        policy.limit === like.limit &&
        policy.capacity === like.capacity &&
        policy.windowMs === like.windowMs)
    );
  });
}
