/**
 * Remembers denials in this isolate, so that a client over its limit costs no calls.
 *
 * A remembered denial is as exact as the owner's, with one exception: after a reset, a refund or an
 * unblock, other isolates go on denying for at most `MAX_DENIAL_MS`. So a denial is believed for so
 * long, and from then on if its owner has been heard of since, about whatever key, and has given
 * nothing back meanwhile: one call renews all that is remembered of an owner.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import { isSameKey, type KeyHash, mapKey } from "../ring/key-hash.ts";
import { believedUntilMs, Hearings, isDue, MAX_SILENCE_MS, type Memory } from "./hearings.ts";

/** The longest that a denial is believed after its owner was last heard of. */
export const MAX_DENIAL_MS = MAX_SILENCE_MS;
/** At about 300 bytes each, 30 MB of the isolate's 128. */
export const MAX_DENIALS = 100_000;

/** What was asked of whom. */
export interface Asked {
  key: KeyHash;
  owner: string;
  policies: readonly Policy[];
}

interface Denial extends Asked, Memory {
  /** One for each policy. */
  verdicts: readonly Verdict[];
  /** When they arrived: their durations may have been shorter, never longer. */
  heardMs: number;
  /** From then on time may have changed something. */
  endMs: number;
}

export class DenialCache {
  /** The last denial of each key, the oldest first, by `mapKey`. */
  readonly #denials = new Map<number, Denial>();
  readonly #hearings: Hearings;
  #generation = 0;

  /** @param hearings what else this isolate hears of owners */
  constructor(hearings = new Hearings()) {
    this.#hearings = hearings;
  }

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
    return denial !== undefined && !isToRenew(denial, nowMs);
  }

  /** Returns the verdicts if it is known that this would be denied, with durations as of now. */
  find(asked: Asked, nowMs: number): Verdict[] | undefined {
    const denial = this.#get(asked, nowMs);
    if (!denial) return undefined;
    if (isToRenew(denial, nowMs)) {
      denial.isAskedAgain = true;
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
   * @param when the check was sent, from when on the owner counted, with the `generation` of that
   *   time, and when the answer was heard
   */
  add(
    asked: Asked,
    verdicts: readonly Verdict[],
    when: { sentMs: number; epoch: number; heardMs: number; generation: number },
  ): void {
    const { key, owner, policies } = asked;
    const { sentMs, heardMs, generation } = when;
    const lastHeard = this.#hearings.hear(owner, when.epoch, sentMs);
    const id = mapKey(key);
    const known = this.#denials.get(id);
    const denies = verdicts.some(({ allowed }) => !allowed);
    // What passes elsewhere, or under other policies, says nothing of this.
    if (known && (denies || isAlike(asked, known))) this.#denials.delete(id);
    if (!denies || generation !== this.#generation || mayBeGivenBack(policies, verdicts)) return;
    const changesMs = verdicts
      .flatMap(({ retryAfterMs, resetMs }) => [retryAfterMs, resetMs])
      .filter((ms) => ms > 0);
    const endMs = sentMs + Math.min(...changesMs);
    // What is left may be spent elsewhere, of which the owner does not tell.
    const epoch = verdicts.every(({ remaining }) => remaining === 0) ? when.epoch : undefined;
    const believed = { sentMs, epoch, lastHeard, heardMs, endMs, isAskedAgain: false };
    this.#denials.set(id, { key, owner, policies, verdicts, ...believed });
    for (const [oldest, denial] of this.#denials) {
      if (this.#denials.size <= MAX_DENIALS && heardMs < denial.endMs) break;
      this.#denials.delete(oldest);
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
    if (!denial || nowMs >= denial.endMs || nowMs >= believedUntilMs(denial)) return undefined;
    return isCovered(asked, denial) ? denial : undefined;
  }
}

/** Is it time to ask again, before the denial is believed no more? */
function isToRenew(denial: Denial, nowMs: number): boolean {
  return believedUntilMs(denial) <= denial.endMs && isDue(denial, nowMs);
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
