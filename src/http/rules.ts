/**
 * What is to be asked about a request: which policies it meets, under which keys, at what cost.
 *
 * A rule is a policy with the functions that code may give in place of words.
 */
import type { Context } from "hono";
import type { Question } from "../caller/question.ts";
import { type Address, isListed } from "../limit/address-list.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import {
  type Policy,
  type PolicyInput,
  parsePolicy,
  requireFits,
  unitsSchema,
} from "../limit/policy.ts";
import type { CountingFields, RequestFields } from "../limit/policy-input.ts";
import { withBoundedDelay } from "../limit/waiting.ts";
import { nearestRegion, type Region } from "../ring/region.ts";
import { type IdentityOptions, keyOf, type PathMatch } from "./key/identity.ts";
import { readingsOf } from "./match/path.ts";
import type { PathPattern } from "./match/path-pattern.ts";
import {
  type PerRequest,
  type RefusalFunction,
  type Rule,
  readKey,
  readPolicy,
} from "./rule-functions.ts";

export interface RateLimitOptions extends CountingFields, RequestFields {
  /**
   * Who is limited: parts as in `limit/key-part.ts`, default `["ip"]`, or a function that gives one
   * text or several parts. If it throws or gives none, the request counts as `unknown`, with all
   * others like it, and a warning says so. What only the client writes is no limit by itself: count
   * keys that you do not know by `addressKey`, or put a policy by `ip` beside it.
   */
  key?: PolicyInput["key"] | PerRequest<string | string[] | undefined>;
  /**
   * Units in a window, a whole number from 0 to 1,000,000,000, or a function that gives them, such
   * as the plan of a customer. Of 0, nothing passes, and a client is told to come back when the
   * window ends. Where the function gives `Infinity`, the policy does not count the request, and the
   * answer has no fields of it. If it throws or gives anything else, the request is answered with
   * 500, and an error in the log says why.
   */
  limit: number | PerRequest<number>;
  /**
   * Length of a window, from `"1s"` to `"366d"`, or a function that gives it, as such a text or in
   * milliseconds. Each length has counters of its own: a key that changes it begins anew.
   */
  window: string | PerRequest<string | number>;
  /**
   * Units a request costs, or a function that gives them. Default 1. A request that costs more than
   * could ever pass is answered with 400; one for which the function fails, with 500, as above.
   */
  cost?: number | PerRequest<number>;
  /**
   * Which responses are charged: `"always"` (default), `"failure"` (status 400 and above),
   * `"success"` (below), a list of statuses, or a function that tells of the response in `c.res`
   * whether it is. The cost is taken before the handler runs and given back after. If the function
   * throws or gives no boolean, the response is charged, and an error in the log says why.
   */
  charge?: PolicyInput["charge"] | PerRequest<boolean>;
  /**
   * What answers a denied request: a status, a body or a redirect as in the configuration, or a
   * function of the request and the decision that gives the whole response. The RateLimit fields,
   * `Cache-Control: no-store` and, unless it has one, `Retry-After` are added to that. If it throws
   * or gives no response, the client gets the standard refusal, and an error in the log says why.
   */
  refusal?: PolicyInput["refusal"] | RefusalFunction;
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function parseRule({
  key,
  limit,
  window,
  cost,
  charge,
  refusal,
  ...options
}: RateLimitOptions): Rule {
  const given = {
    key: functionOf(key),
    limit: functionOf(limit),
    window: functionOf(window),
    cost: functionOf(cost),
    charge: functionOf(charge),
    refusal: functionOf(refusal),
  };
  if (given.cost && charge && charge !== "always") {
    const rule = 'must be a number where "charge" looks at the response';
    throw new MisuseError("cost", rule, "a function");
  }
  const parsed = parsePolicy({
    ...(given.key && { scope: "global" }),
    ...options,
    key: given.key ? undefined : key,
    // Until a request says otherwise.
    limit: given.limit ? (options.burst ?? 1) : limit,
    // The shortest: with it an algorithm counts highest.
    window: given.window ? "1s" : window,
    // Whatever a function charges, the response decides.
    charge: given.charge ? "failure" : charge,
    refusal: given.refusal ? undefined : refusal,
    cost: given.cost || given.limit ? undefined : cost,
  });
  const fixed = given.limit && typeof cost !== "function" ? withCost(parsed, cost) : parsed;
  return { policy: given.limit || given.window ? fixed : withBoundedDelay(fixed), ...given };
}

function functionOf<Field>(
  field: Field,
): Extract<Field, (...given: never[]) => unknown> | undefined {
  return typeof field === "function"
    ? (field as Extract<Field, (...given: never[]) => unknown>)
    : undefined;
}

/** Whether a fixed cost fits is known beforehand only where the burst is fixed, too. */
function withCost(policy: Policy, cost = 1): Policy {
  parse(unitsSchema, cost, "cost");
  if (policy.burst !== undefined) requireFits(cost, policy);
  return { ...policy, cost };
}

/**
 * Returns the rule whose address list refuses the client, and those that are left to be counted.
 */
export function applyAddressLists(
  rules: readonly Rule[],
  address: Address | undefined,
): { refusing: Rule | undefined; counting: Rule[] } {
  const counting = rules.filter(({ policy }) => !isListed(address, policy.allow));
  const isRefusing = ({ policy: { deny, shadow } }: Rule) => !shadow && isListed(address, deny);
  return { refusing: counting.find(isRefusing), counting };
}

/** A question while it is put together. */
interface Asking extends Question {
  key: string[];
  policies: Policy[];
}

/**
 * Returns one question for each key and scope: what has the same owner is decided in one hop. A
 * policy whose key has a part of the path asks for every key that an odd path may mean. Returns none
 * where no policy limits the request.
 *
 * @throws {MisuseError} if the request costs more than could ever pass
 * @throws {RuleError} if a function fails
 */
export async function questionsOf(
  c: Context,
  rules: readonly Rule[],
  client: Address | undefined,
  options: IdentityOptions & { homeRegion: Region },
): Promise<Question[]> {
  const region = nearestRegion(c.req.raw.cf as IncomingRequestCfProperties, options.homeRegion);
  const questions: Asking[] = [];
  for (const rule of rules) {
    const isRead = rule.limit || rule.window || rule.cost;
    const policy = isRead ? await readPolicy(c, rule) : rule.policy;
    if (!policy) continue;
    const keys = rule.key
      ? [await readKey(c, rule.key, rule.policy)]
      : keysOf(c, rule, client, options);
    for (const key of keys) {
      const known: Asking | undefined = questions.find(
        (question) => question.policies[0]?.scope === policy.scope && isSame(question.key, key),
      );
      if (!known) questions.push({ key, policies: [policy], region });
      else if (!known.policies.includes(policy)) known.policies.push(policy);
    }
  }
  return questions;
}

/** Returns the key under which a rule counts a request; several where its path may mean several. */
function keysOf(
  c: Context,
  { policy, pattern }: Rule,
  client: Address | undefined,
  options: IdentityOptions,
): string[][] {
  if (!pattern) return [keyOf(c, policy, client, options)];
  return pathMatches(c, pattern).map((match) => keyOf(c, policy, client, options, match));
}

/**
 * Returns every place that a policy's path may name in a request. Each is a key of its own: the one
 * that the origin reads is among them, so no spelling brings a quota of its own.
 */
function pathMatches(c: Context, pattern: PathPattern): PathMatch[] {
  const readings = readingsOf(c.req.url) ?? [];
  return readings
    .filter((path) => pattern.matches(path))
    .map((path) => ({ path, valueOf: (name) => pattern.valueOf(name, path) }));
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, at) => part === other[at]);
}
