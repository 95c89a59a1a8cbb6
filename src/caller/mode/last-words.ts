/**
 * The owner's last word on each key: what it had left. Besides, the units of checks that are on
 * their way to the owner.
 *
 * An estimate, since other isolates spend meanwhile. Bounded: the keys that were asked about
 * longest ago are forgotten first.
 */
import type { Decision } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";
import { first53Bits, type KeyHash } from "../../ring/key-hash.ts";
import { PolicyNumbers } from "../policy-numbers.ts";
import { RecentMap } from "../recent-map.ts";

/** The most keys remembered: 7 MB of the isolate's 128, at about 140 bytes each. */
const MAX_KEYS = 50_000;

export interface Word {
  /** See `PolicyNumbers`. */
  readonly policy: number;
  /**
   * Units left by the owner's last word; undefined before it, and once the quota is whole again.
   */
  remaining: number | undefined;
  /** Units in a whole quota, by the same word. */
  limit: number;
  /** When the quota is whole again, ms since the epoch. */
  wholeAtMs: number;
  /** Units of checks that the owner has not answered yet. */
  onTheWay: number;
}

export class LastWords {
  /** The words on each key, one for each policy, by `first53Bits`. */
  readonly #words = new RecentMap<number, Word[]>(MAX_KEYS);
  readonly #policies = new PolicyNumbers();

  /** Returns the word on a key under a policy. It is updated in place. */
  of(key: KeyHash, policy: Policy, nowMs: number): Word {
    const id = first53Bits(key);
    const number = this.#policies.of(policy);
    const words = this.#words.get(id);
    const known = words?.find((each) => each.policy === number);
    if (known) {
      if (nowMs >= known.wholeAtMs) known.remaining = undefined;
      return known;
    }
    if (!words && this.#policies.isFull) this.#forgetAll();
    const word: Word = {
      policy: number,
      remaining: undefined,
      limit: policy.limit,
      wholeAtMs: 0,
      onTheWay: 0,
    };
    // An array that begins empty would reserve room for 17 words.
    if (words) words.push(word);
    else this.#words.set(id, [word]);
    return word;
  }

  #forgetAll(): void {
    this.#policies.clear();
    this.#words.clear();
  }
}

/** Notes what an owner decided on units that were on their way to it. */
export function hear(word: Word, cost: number, decision: Decision | undefined, nowMs: number) {
  word.onTheWay = Math.max(0, word.onTheWay - cost);
  if (!decision || decision.source === "fallback") return;
  word.remaining = decision.remaining;
  word.limit = decision.limit;
  word.wholeAtMs = nowMs + decision.resetMs;
}
