/**
 * A number for each policy that something is remembered under, so that a denial holds only numbers.
 *
 * Policies that count the same way have the same number. A limit that comes from a function makes a
 * new policy object in each request, and so does each inline policy of the API.
 */
import type { CounterPolicy } from "../counters/check.ts";
import type { Policy } from "../limit/policy.ts";

/** What tells policies apart. The compiler asks for a new field that an owner is sent. */
type Told = Exclude<keyof CounterPolicy, "cost" | "durable" | "held" | "isUnlimited">;

/** The most policies with a number. Callers of the API choose names and limits freely. */
const MAX_POLICIES = 10_000;

export class PolicyNumbers {
  readonly #byText = new Map<string, number>();
  #byPolicy = new WeakMap<Policy, number>();
  #next = 0;

  /** Whether all numbers should be forgotten, with everything that is remembered under them. */
  get isFull(): boolean {
    return this.#byText.size > MAX_POLICIES;
  }

  of(policy: Policy): number {
    const known = this.#byPolicy.get(policy);
    if (known !== undefined) return known;
    const { name, algorithm, windowMs, limit, capacity, blockFor, atMost, start, shadow } = policy;
    const counting = {
      algorithm,
      windowMs,
      limit,
      capacity,
      blockFor,
      atMost,
      start,
      shadow,
      name,
    };
    const text = JSON.stringify(counting satisfies Record<Told, unknown>);
    const number = this.#byText.get(text) ?? this.#next++;
    this.#byText.set(text, number);
    this.#byPolicy.set(policy, number);
    return number;
  }

  /** Forgets all policies. A number is never given to another policy. */
  clear(): void {
    this.#byText.clear();
    this.#byPolicy = new WeakMap();
  }
}
