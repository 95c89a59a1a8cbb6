/**
 * The limiter under the live policies. They may change between two requests; a request is decided
 * under those that it began with.
 */
import type { Context, MiddlewareHandler, Next } from "hono";
import type { Policy } from "../limit/policy.ts";
import type { RateLimitEnv } from "./rate-limit.ts";
import type { Rule } from "./rule-functions.ts";

export class RulesInForce {
  readonly #source: { readonly policies: readonly Policy[] };
  readonly #make: (rules: readonly Rule[]) => MiddlewareHandler<RateLimitEnv>;
  #policies: readonly Policy[] | undefined;
  #rules: readonly Rule[] = [];
  #limit!: MiddlewareHandler<RateLimitEnv>;

  /**
   * @param source has the same list until other policies are in force
   * @param make makes the limiter of the given rules
   */
  constructor(
    source: { readonly policies: readonly Policy[] },
    make: (rules: readonly Rule[]) => MiddlewareHandler<RateLimitEnv>,
  ) {
    this.#source = source;
    this.#make = make;
    // Makes the limiter as the Worker starts, and not in its first request.
    this.#keepUp();
  }

  get rules(): readonly Rule[] {
    this.#keepUp();
    return this.#rules;
  }

  readonly limit = (c: Context<RateLimitEnv>, next: Next) => {
    this.#keepUp();
    return this.#limit(c, next);
  };

  #keepUp(): void {
    const { policies } = this.#source;
    if (policies === this.#policies) return;
    this.#policies = policies;
    this.#rules = policies.map((policy) => ({ policy }));
    this.#limit = this.#make(this.#rules);
  }
}
