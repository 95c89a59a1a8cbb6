/**
 * A number for each policy that denials are remembered under, so that a denial keeps numbers alone.
 *
 * Two policies have the same number if they count the same way: a limit that comes from a function
 * makes a policy anew for each request, and so does each inline policy of the API.
 */
import type { Policy } from "../limit/policy.ts";

/** Inline policies have names and limits of a caller's choice. */
const MAX_POLICIES = 10_000;

export class PolicyNumbers {
  readonly #byText = new Map<string, number>();
  #byPolicy = new WeakMap<Policy, number>();
  #next = 0;

  /** Are there so many that all should be forgotten, with what was remembered under them? */
  get isFull(): boolean {
    return this.#byText.size > MAX_POLICIES;
  }

  of(policy: Policy): number {
    const known = this.#byPolicy.get(policy);
    if (known !== undefined) return known;
    const { name, algorithm, windowMs, limit, capacity, blockFor, atMost = false } = policy;
    const block = blockFor ? `${blockFor.firstMs}-${blockFor.maxMs}` : "";
    const text = `${algorithm}/${windowMs}/${limit}/${capacity}/${block}/${atMost}/${name}`;
    const number = this.#byText.get(text) ?? this.#next++;
    this.#byText.set(text, number);
    this.#byPolicy.set(policy, number);
    return number;
  }

  /** Forgets all; no number is given out twice. */
  clear(): void {
    this.#byText.clear();
    this.#byPolicy = new WeakMap();
  }
}
