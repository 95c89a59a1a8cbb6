/** A limiter for code outside HTTP middleware: a queue consumer, a login form, another object. */

import * as v from "valibot";
import { MAX_WINDOW_MS } from "../limit/algorithm.ts";
import type { Decision } from "../limit/decision.ts";
import { durationSchema, formatDuration } from "../limit/duration.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import { readOverrideLimit } from "../limit/override.ts";
import { type Policy, parsePolicy, requireOptions } from "../limit/policy.ts";
import type { CountingFields, PolicyInput, QuotaFields } from "../limit/policy-input.ts";
import { policyFor, requireOverrides } from "../limit/policy-overrides.ts";
import { unitsSchema } from "../limit/policy-schema.ts";
import { booleanSchema } from "../limit/schemas.ts";
import { type Region, regionSchema } from "../ring/region.ts";
import { upTo } from "./at-most.ts";
import { reserve, type SettledDecision, settle, ttlSchema } from "./holds.ts";
import { claimName, isolateCaller, isolateConfig, requireCaller } from "./isolate.ts";
import { keySchema } from "./key.ts";
import { decided, type ExplainedKey, type Question } from "./question.ts";

/** A policy without the fields that need a request. */
export interface LimiterOptions extends CountingFields, QuotaFields {
  /**
   * Which owners count a key: `"global"` (default), those of `HOME_REGION`, or `"region"`, those of
   * the region that each check names.
   */
  scope?: "region" | "global" | undefined;
}

const REQUEST_FIELDS = [
  "key",
  "path",
  "except",
  "method",
  "charge",
  "actual",
  "maxWait",
  "mode",
  "refusal",
  "allow",
  "deny",
] as const satisfies Exclude<keyof PolicyInput, keyof LimiterOptions>[];

export interface CheckOptions {
  /**
   * Units, a whole number from 1 to what the policy, or an override of the key, lets pass at once.
   * Default the policy's `cost`.
   */
  cost?: number | undefined;
  /**
   * Takes what is left of the cost, at least one unit, instead of denying. The decision's `taken`
   * says how much. The cost may then exceed what can pass at once. Does not use the policy's lease.
   * Default false.
   */
  atMost?: boolean | undefined;
  /** The region whose owners count, if the policy's scope is `region`. Default the home region. */
  region?: Region | undefined;
}

export interface ReserveOptions extends Pick<CheckOptions, "region"> {
  /** How long the hold lives if nobody settles it: `"1ms"` to `"1h"`. Default `"60s"`. */
  ttl?: string | undefined;
}

/** The decision on a reservation, and two ways to end its hold. They reject if it was denied. */
export interface Reserved extends Decision {
  /** The hold's name, by which it can be settled elsewhere; absent if it was denied. */
  hold?: string;
  /** As {@link Limiter.settle}. */
  settle: (actual: number) => Promise<SettledDecision>;
  /** As {@link Limiter.release}. */
  release: () => Promise<SettledDecision>;
}

export interface Limiter {
  /**
   * Spends the cost if it may pass. If the owner does not answer, follows the policy's `onFailure`.
   */
  check(key: string, options?: CheckOptions): Promise<Decision>;
  /** Answers as `check` would, but spends nothing. */
  peek(key: string, options?: CheckOptions): Promise<Decision>;
  /** Gives the cost back, never more than is spent, and then answers as `peek`. */
  refund(key: string, options?: CheckOptions): Promise<Decision>;
  /**
   * Spends an amount, if it may pass, until its actual cost is known. A hold that nobody settles
   * gives its amount back when it ends. A key has at most 1,000 holds at once.
   *
   * @example
   * const { allowed, settle } = await tokens.reserve(user, 2_000);
   * if (allowed) await settle((await ask(prompt)).usage.total_tokens);
   */
  reserve(key: string, amount: number, options?: ReserveOptions): Promise<Reserved>;
  /**
   * Replaces what a hold has spent by its actual cost, from 0 on. What was too much comes back, but
   * never into a later window. What was too little is charged, above the limit if it must be. A
   * hold is settled once; one that has ended is charged all of the cost. Rejects if the owner does
   * not answer, and may be called again.
   */
  settle(key: string, hold: string, actual: number): Promise<SettledDecision>;
  /** Gives back what a hold has spent, as a settlement of 0 does. */
  release(key: string, hold: string): Promise<SettledDecision>;
  /** Forgets what the key has spent, in all regions. Rejects if an owner does not answer. */
  reset(key: string): Promise<void>;
  /**
   * Denies the key under every policy, in all regions, for a duration such as `"10m"`. The block is
   * on disk once this resolves. An isolate with a lease follows within 5 s. Rejects if an owner
   * does not answer.
   */
  block(key: string, duration: string): Promise<void>;
  /** Ends all blocks of the key, in all regions. Rejects if an owner does not answer. */
  unblock(key: string): Promise<void>;
  /**
   * Gives the key another limit, or `"unlimited"`, in all regions. `duration` is such as `"30d"`;
   * default 366 days. What is counted stays counted. Rejects if an owner does not answer.
   */
  override(key: string, limit: number | "unlimited", duration?: string): Promise<void>;
  /** Gives the key the policy's own limit again, in all regions. Rejects as `override` does. */
  clearOverride(key: string): Promise<void>;
  /** Says what the key's owner has stored for it. Rejects if that owner does not answer. */
  explain(key: string, options?: CheckOptions): Promise<ExplainedKey>;
}

export const atMostSchema = booleanSchema;

export const blockSchema = durationSchema(1, MAX_WINDOW_MS);

/** How long an override holds. Default as long as it may. */
export const overrideDurationSchema = v.optional(blockSchema, formatDuration(MAX_WINDOW_MS));

const optionalRegion = v.optional(regionSchema);
export const checkOptionsSchema = v.strictObject(
  { cost: v.optional(unitsSchema), atMost: v.optional(atMostSchema), region: optionalRegion },
  "must be an object",
);
const reserveOptionsSchema = v.strictObject(
  { region: optionalRegion, ttl: ttlSchema },
  "must be an object",
);

/**
 * Makes a limiter for keys of your choice.
 *
 * Keys are compared as they are: `José` in capitals, or in another normal form of Unicode, is
 * another key. Normalize what people type as your own look-up does, for example with
 * `name.normalize("NFC").toLowerCase()`.
 *
 * @throws {MisuseError} naming the field, the rule and the value. The methods reject with it if a
 *   key is empty or over 1,024 bytes, if a cost could never pass, or if an option is unknown.
 * @example
 * const logins = limiter({ name: "logins", limit: 5, window: "15m" });
 * const { allowed, retryAfterMs } = await logins.check(userName);
 */
export function limiter(options: LimiterOptions): Limiter {
  requireOptions(options, "");
  for (const field of REQUEST_FIELDS) {
    const value: unknown = Reflect.get(options, field);
    if (value === undefined) continue;
    throw new MisuseError(field, "must be left out, since a limiter sees no request", value);
  }
  const policy = parsePolicy({ scope: "global", ...options });
  if (policy.costPath) {
    const rule = "must be a number, since a limiter sees no request";
    throw new MisuseError("cost", rule, options.cost);
  }
  requireOverrides(policy, "");
  claimName(policy, { maker: "limiter", isNamed: options.name !== undefined });
  requireCaller();
  const ask = (key: string, options?: CheckOptions) => questionOf(policy, keyOf(key), options);

  const askPossible = async (key: string, options?: CheckOptions) => {
    const asked = [ask(key, options)];
    await isolateCaller().costly.requirePossible(asked);
    return asked;
  };

  const end = async (key: string, hold: string, actual: number, isMade = false) =>
    settle(isolateCaller(), [ask(key)], hold, actual, isMade);

  return {
    reserve: async (key, amount, options = {}) => {
      const { ttl: ttlMs, region } = parse(reserveOptionsSchema, options);
      const { decision, hold } = await reserve(
        isolateCaller(),
        [ask(key, { region })],
        amount,
        ttlMs,
      );
      const settleIt = (actual: number) =>
        end(key, hold ?? "none: this reservation was denied", actual, true);
      const whole = { ...decision, settle: settleIt, release: () => settleIt(0) };
      return hold === undefined ? whole : { ...whole, hold };
    },
    settle: end,
    release: async (key, hold) => end(key, hold, 0),
    check: async (key, options) =>
      decided(await isolateCaller().check(await askPossible(key, options))),
    peek: async (key, options) =>
      decided(await isolateCaller().peek(await askPossible(key, options))),
    refund: async (key, options) =>
      decided(await isolateCaller().refund([{ question: ask(key, options) }])),
    reset: async (key) => isolateCaller().reset([ask(key)]),
    block: async (key, duration) =>
      isolateCaller().block(keyOf(key), parse(blockSchema, duration, "duration")),
    unblock: async (key) => isolateCaller().unblock(keyOf(key)),
    override: async (key, limit, duration) =>
      isolateCaller().override(
        ask(key),
        readOverrideLimit(policy, limit),
        parse(overrideDurationSchema, duration, "duration"),
      ),
    clearOverride: async (key) => isolateCaller().override(ask(key), null),
    explain: async (key, options) => {
      const [explained] = await isolateCaller().explain([ask(key, options)]);
      return explained as ExplainedKey;
    },
  };
}

/**
 * Returns what a call asks about a key under one policy.
 *
 * @throws {MisuseError} naming the option, the rule and the value
 */
export function questionOf(
  policy: Policy,
  key: readonly string[],
  options: CheckOptions = {},
): Question {
  const inForce = policyFor(policy, key);
  const {
    cost = policy.cost,
    atMost,
    region = isolateConfig().homeRegion,
  } = parse(checkOptionsSchema, options);
  const asked = atMost ? upTo(inForce, cost) : { ...inForce, cost };
  return { key, policies: [asked], region };
}

function keyOf(key: string): string[] {
  return [parse(keySchema, key, "key")];
}
