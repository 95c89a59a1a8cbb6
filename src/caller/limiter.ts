/**
 * The limiter for code that is no HTTP middleware: a queue consumer, a login form, another object.
 */
import { type Decision, decisive } from "../limit/decision.ts";
import { parse } from "../limit/misuse.ts";
import { type PolicyInput, parsePolicy } from "../limit/policy.ts";
import type { Region } from "../ring/region.ts";
import type { Question } from "./caller.ts";
import { claimName, isolateCaller, isolateConfig } from "./isolate.ts";
import { costSchema, keySchema, requireWithinLimits } from "./question.ts";

/** A policy without what only a request has. `scope` is `global` unless said otherwise. */
export type LimiterOptions = Omit<PolicyInput, "key" | "path" | "method">;

export interface CheckOptions {
  /** Units to spend, a whole number from 1 to the policy's limit. Default 1. */
  cost?: number;
  /** Whose owners count, if the policy's scope is `region`. Default the home region. */
  region?: Region;
}

export interface Limiter {
  /** Spends the cost if it may pass. Never rejects for an owner's sake: see `onFailure`. */
  check(key: string, options?: CheckOptions): Promise<Decision>;
  /** Answers as `check` would, spending nothing. */
  peek(key: string, options?: CheckOptions): Promise<Decision>;
  /** Forgets what the key has spent. Rejects if its owner does not answer. */
  reset(key: string, options?: Pick<CheckOptions, "region">): Promise<void>;
}

/**
 * Makes a limiter for keys of your choice.
 *
 * @throws {MisuseError} naming the field, the rule and the value; `check` and `peek` reject with it
 *   for a key that is empty or over 1,024 bytes, or a cost that could never pass
 * @example
 * const logins = limiter({ name: "logins", limit: 5, window: "15m" });
 * const { allowed, retryAfterMs } = await logins.check(userName);
 */
export function limiter(options: LimiterOptions): Limiter {
  const policy = parsePolicy({ scope: "global", ...options });
  claimName(policy);
  const caller = isolateCaller();
  const { homeRegion } = isolateConfig();

  function ask(key: string, { cost, region = homeRegion }: CheckOptions = {}): Question {
    const question = {
      key: [parse(keySchema, key, "key")],
      policies: [policy],
      cost: parse(costSchema, cost, "cost"),
      region,
    };
    requireWithinLimits(question.cost, question.policies);
    return question;
  }

  return {
    async check(key, options) {
      const [decisions = []] = await caller.check([ask(key, options)]);
      return decisive(decisions);
    },
    async peek(key, options) {
      const [decisions = []] = await caller.peek([ask(key, options)]);
      return decisive(decisions);
    },
    async reset(key, options) {
      await caller.reset([ask(key, options)]);
    },
  };
}
