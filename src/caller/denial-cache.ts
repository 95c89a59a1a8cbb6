/**
 * Remembers denials in this isolate, so that a client over its limit costs no calls.
 *
 * A remembered denial is as exact as the owner's, with one exception: after a reset, other isolates
 * go on denying for at most `MAX_DENIAL_MS`.
 */
import type { Verdict } from "../limit/decision.ts";
import type { Policy } from "../limit/policy.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** The longest that a denial is remembered. */
export const MAX_DENIAL_MS = 5_000;
/** At about 300 bytes each, 15 MB of the isolate's 128. */
const MAX_DENIALS = 50_000;

interface Denial {
  policies: readonly Policy[];
  /** Denied at this cost, so at any above it. */
  cost: number;
  /** One for each policy. */
  verdicts: readonly Verdict[];
  /** When the check was sent, ms since the epoch: the owner counted from no earlier. */
  sentMs: number;
  /** From then on it may pass again, or has been remembered for long enough. */
  untilMs: number;
}

export class DenialCache {
  /** The last denial of each key, the oldest first. */
  readonly #denials = new Map<string, Denial>();

  /** Returns the verdicts if it is known that this check would be denied, with durations as of now. */
  find(
    key: KeyHash,
    policies: readonly Policy[],
    cost: number,
    nowMs: number,
  ): Verdict[] | undefined {
    const denial = this.#denials.get(cacheKey(key));
    if (!denial || nowMs >= denial.untilMs || cost < denial.cost) return undefined;
    if (!isSame(denial.policies, policies)) return undefined;
    const ageMs = Math.max(0, nowMs - denial.sentMs);
    return denial.verdicts.map((verdict) => ({
      ...verdict,
      resetMs: Math.max(0, verdict.resetMs - ageMs),
      retryAfterMs: Math.max(0, verdict.retryAfterMs - ageMs),
    }));
  }

  /** Remembers the verdicts if they deny. */
  add(
    key: KeyHash,
    policies: readonly Policy[],
    cost: number,
    verdicts: readonly Verdict[],
    sentMs: number,
  ): void {
    const waitMs = Math.max(...verdicts.map(({ retryAfterMs }) => retryAfterMs));
    if (waitMs === 0) return;
    const id = cacheKey(key);
    const untilMs = sentMs + Math.min(waitMs, MAX_DENIAL_MS);
    this.#denials.delete(id);
    this.#denials.set(id, { policies, cost, verdicts, sentMs, untilMs });
    if (this.#denials.size > MAX_DENIALS) {
      const [oldest] = this.#denials.keys();
      if (oldest !== undefined) this.#denials.delete(oldest);
    }
  }

  forget(key: KeyHash): void {
    this.#denials.delete(cacheKey(key));
  }
}

function cacheKey({ hi, lo }: KeyHash): string {
  return `${hi}:${lo}`;
}

/** A limit may change between two requests (another plan, a new deployment), and then the owner is asked. */
function isSame(before: readonly Policy[], now: readonly Policy[]): boolean {
  if (before === now) return true;
  return (
    before.length === now.length &&
    before.every((policy, index) => {
      const other = now[index];
      return (
        policy.name === other?.name &&
        policy.limit === other.limit &&
        policy.windowMs === other.windowMs &&
        policy.algorithm === other.algorithm
      );
    })
  );
}
