/**
 * Reads the options of `rateLimit`, and makes the checks of a request: which keys, under which
 * policies, at what cost.
 *
 * A rule is a policy and the functions that stand for some of its fields.
 */
import type { Context } from "hono";
import { newReservation } from "../caller/holds.ts";
import type { Question } from "../caller/question.ts";
import { type Address, isListed } from "../limit/address-list.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import { type Policy, parsePolicy, requireFits } from "../limit/policy.ts";
import type {
  CountingFields,
  PolicyInput,
  QuotaFields,
  RequestFields,
} from "../limit/policy-input.ts";
import { policyFor, requireOverrides } from "../limit/policy-overrides.ts";
import { unitsSchema } from "../limit/policy-schema.ts";
import { withBoundedDelay } from "../limit/waiting.ts";
import type { Region } from "../ring/region.ts";
import { regionOf } from "./key/client-region.ts";
import { type IdentityOptions, keyOf } from "./key/identity.ts";
import { readingsOf } from "./match/path.ts";
import type { RequestContext } from "./request-context.ts";
import {
  type PerRequest,
  type RefusalFunction,
  type Rule,
  readKey,
  readPolicy,
} from "./rule-functions.ts";

export interface RateLimitOptions
  extends CountingFields,
    RequestFields,
    Pick<QuotaFields, "overrides"> {
  /**
   * What tells clients apart: parts as in `limit/key-part.ts`, default `["ip"]`, or a function that
   * returns one text or a list of parts. If the function fails, the request counts under the key
   * `unknown`, shared with all such requests, and a warning is logged. A client can make up a key
   * that it writes itself: return `addressKey(c)` for unknown keys, or add a policy by `ip`.
   */
  key?: PolicyInput["key"] | PerRequest<string | string[] | undefined>;
  /**
   * Units in a window, a whole number from 0 to 1,000,000,000, or a function that returns them,
   * such as a customer's plan. With 0 nothing passes, and a client is told to come back when the
   * window ends. If the function returns `Infinity`, the policy does not count the request. If it
   * fails, the response is 500, and an error is logged.
   */
  limit: number | PerRequest<number>;
  /**
   * Length of a window, from `"1s"` to `"366d"`, or a function that returns such a text or
   * milliseconds. Each length has its own counters: a key whose window changes starts from zero.
   */
  window: string | PerRequest<string | number>;
  /**
   * Units that a request costs: a number, a path into its body (`"json:max_tokens"`), or a function
   * that returns them. Default 1. The response is 400 if the cost could never pass, and
   * 500 if the function fails. For a cost above the limit, the owner first says whether an override
   * allows it.
   */
  cost?: number | string | PerRequest<number>;
  /**
   * Where the response tells its actual cost: `"header:X-Cost"`, `"json:usage.total_tokens"` (its
   * JSON, or the last event of a stream that has it) or `"bytes"`. Or a function that returns the
   * cost of the response in `c.res`. `cost` is then an estimate, which stands if the function
   * fails.
   */
  actual?: string | PerRequest<number>;
  /**
   * Which responses are charged: `"always"` (default), `"failure"` (status 400 and above),
   * `"success"` (below) or a list of statuses. Or a function that returns whether the response in
   * `c.res` is charged. The cost is taken before the handler runs and given back after. If the
   * function fails, the response is charged, and an error is logged.
   */
  charge?: PolicyInput["charge"] | PerRequest<boolean>;
  /**
   * The answer to a denied request: a status, a body or a redirect, or a function of the request
   * and the decision that returns the response. The RateLimit fields, `Cache-Control: no-store`
   * and, if it is missing, `Retry-After` are added. If the function fails, the client gets the
   * standard refusal, and an error is logged.
   */
  refusal?: PolicyInput["refusal"] | RefusalFunction;
}

/** How long a request may run before the units that it has reserved come back, ms. */
const HOLD_MS = 300_000;

/** @throws {MisuseError} naming the field, the rule and the value */
export function parseRule({
  key,
  limit,
  window,
  cost,
  actual,
  charge,
  refusal,
  ...options
}: RateLimitOptions): Rule {
  const given = {
    key: functionOf(key),
    limit: functionOf(limit),
    window: functionOf(window),
    cost: functionOf(cost),
    actual: functionOf(actual),
    charge: functionOf(charge),
    refusal: functionOf(refusal),
  };
  if (given.cost && charge && charge !== "always") {
    const rule = 'must be a number where "charge" looks at the response';
    throw new MisuseError("cost", rule, "a function");
  }
  if (options.overrides && (given.limit || given.window)) {
    const rule = 'must be left out where "limit" or "window" is a function';
    throw new MisuseError("overrides", rule, options.overrides);
  }
  const parsed = parsePolicy({
    ...(given.key && { scope: "global" }),
    ...options,
    key: given.key ? undefined : key,
    // A stand-in until a request's own limit is known.
    limit: given.limit ? (options.burst ?? 1) : limit,
    // The shortest window allows the highest limit.
    window: given.window ? "1s" : window,
    // Any value but "always" has the cost settled after the response.
    charge: given.charge ? "failure" : charge,
    refusal: given.refusal ? undefined : refusal,
    // Any source has the cost held and settled.
    actual: given.actual ? "header:-" : actual,
    cost: given.cost || (given.limit && typeof cost === "number") ? undefined : cost,
  });
  const fixed = given.limit && typeof cost === "number" ? withCost(parsed, cost) : parsed;
  const perRequest = (["limit", "window", "cost"] as const).find((field) => given[field]);
  const policy = given.limit || given.window ? fixed : withBoundedDelay(fixed);
  requireOverrides(policy, "");
  return { policy: perRequest ? { ...policy, perRequest } : policy, ...given };
}

function functionOf<Field>(
  field: Field,
): Extract<Field, (...given: never[]) => unknown> | undefined {
  return typeof field === "function"
    ? (field as Extract<Field, (...given: never[]) => unknown>)
    : undefined;
}

/** Checks a fixed cost where the limit is a function: only a fixed burst says what can pass. */
function withCost(policy: Policy, cost: number): Policy {
  parse(unitsSchema, cost, "cost");
  if (policy.burst !== undefined) requireFits(cost, policy);
  return { ...policy, cost };
}

/**
 * Returns the rule whose `deny` refuses the address, and the rules whose `allow` does not list it.
 */
export function applyAddressLists(
  rules: readonly Rule[],
  address: Address | undefined,
): { refusing: Rule | undefined; counting: Rule[] } {
  const counting = rules.filter(({ policy }) => !isListed(address, policy.allow));
  const isRefusing = ({ policy: { deny, shadow } }: Rule) => !shadow && isListed(address, deny);
  return { refusing: counting.find(isRefusing), counting };
}

/** A question that is being put together. */
interface Asking extends Question {
  key: string[];
  policies: Policy[];
}

/** A rule as it holds for one request. */
export interface ReadRule extends Pick<Rule, "policy" | "pattern"> {
  /** What the rule's function returned as the key. */
  keyParts?: string[];
}

/** Returns true if the rule has a function that each request calls before it is counted. */
export function isRead({ key, limit, window, cost }: Rule): boolean {
  return (key ?? limit ?? window ?? cost) !== undefined;
}

/**
 * Calls the functions of rules. Leaves out rules whose limit is `Infinity` for this request.
 *
 * @throws {RuleError} if a function other than `key` fails
 */
export async function readRules(c: Context, rules: readonly Rule[]): Promise<ReadRule[]> {
  const read: ReadRule[] = [];
  for (const rule of rules) {
    const { key, limit, window, cost, pattern } = rule;
    const policy = limit || window || cost ? await readPolicy(c, rule) : rule.policy;
    if (!policy) continue;
    read.push(key ? { policy, keyParts: await readKey(c, key, policy) } : { policy, pattern });
  }
  return read;
}

/**
 * Returns one question for each key and scope, since policies with the same owner are decided in
 * one call. A policy with a part of the path in its key has a question for each reading of the
 * path.
 */
export function questionsOf(
  c: Context,
  rules: readonly ReadRule[],
  client: Address | undefined,
  options: IdentityOptions & { homeRegion: Region },
): Question[] {
  const region = regionOf(c.req.raw, client, options.homeRegion);
  const questions: Asking[] = [];
  for (const rule of rules) {
    for (const key of rule.keyParts ? [rule.keyParts] : keysOf(c, rule, client, options)) {
      const policy = policyFor(rule.policy, key);
      const known: Asking | undefined = questions.find(
        (question) => isAskedWith(policy, question.policies[0]) && isSame(question.key, key),
      );
      const question: Asking = known ?? { key, policies: [], region };
      if (!known) questions.push(question);
      if (!question.policies.includes(policy)) question.policies.push(policy);
      if (policy.held) question.reserve ??= newReservation(HOLD_MS);
    }
  }
  return questions;
}

/** Returns true if one owner has the key under both policies, and is asked about both at once. */
function isAskedWith({ scope, mode }: Policy, other: Policy | undefined): boolean {
  return other?.scope === scope && (other.mode === "after") === (mode === "after");
}

/**
 * Returns the keys under which a rule counts a request: one for each reading of the path, if the
 * key has a part of the path. The origin's own reading is among them, so a client cannot get a new
 * quota by writing its path in another way.
 */
export function keysOf(
  c: RequestContext,
  { policy, pattern }: Pick<Rule, "policy" | "pattern">,
  client: Address | undefined,
  options: IdentityOptions,
): string[][] {
  if (!pattern) return [keyOf(c, policy, client, options)];
  const readings = (readingsOf(c.req.url) ?? []).filter((path) => pattern.matches(path));
  return readings.map((path) =>
    keyOf(c, policy, client, options, { path, valueOf: (name) => pattern.valueOf(name, path) }),
  );
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, at) => part === other[at]);
}
