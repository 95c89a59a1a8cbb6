/**
 * A number for each policy that denials are remembered under, so that a denial holds only numbers.
 *
 * Policies that count the same way have the same number. A limit that comes from a function makes a
 * new policy object in each request, and so does each inline policy of the API.
 */
import type { Policy } from "../limit/policy.ts";

/** The most policies with a number. Callers of the API choose names and limits freely. */
const MAX_POLICIES = 10_000;

export class PolicyNumbers {
  readonly #byText = new Map<string, number>();
  #byPolicy = new WeakMap<Policy, number>();
  #next = 0;

  /** Is the bound reached, so that all numbers should be forgotten, with the denials under them? */
  get isFull(): boolean {
    return this.#byText.size > MAX_POLICIES;
  }

  of(policy: Policy): number {
    const known = this.#byPolicy.get(policy);
    if (known !== undefined) return known;
    const { name, algorithm, windowMs, limit, capacity, blockFor, atMost = false } = policy;
    const { start, shadow } = policy;
    const block = blockFor ? `${blockFor.firstMs}-${blockFor.maxMs}` : "";
    const text = `${algorithm}/${windowMs}/${limit}/${capacity}/${block}/${atMost}/${start}/${shadow}/${name}`;
    const number = this.#byText.get(text) ?? this.#next++;
    this.#byText.set(text, number);
    this.#byPolicy.set(policy, number);
    return number;
  }

  /** Forgets all policies. No number is ever given to a second one. */
  clear(): void {
    this.#byText.clear();
    this.#byPolicy = new WeakMap();
  }
}
