/**
 * What is to be asked about a request: which policies it meets, under which keys, at what cost.
 *
 * A rule is a policy with the functions that code may give in place of words.
 */
import type { Context } from "hono";
import { METHOD_NAME_ALL } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";
import type { Question } from "../caller/question.ts";
import { type Address, isListed } from "../limit/address-list.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import {
  type Policy,
  type PolicyInput,
  parsePolicy,
  requireFits,
  unitsSchema,
  withLimit,
} from "../limit/policy.ts";
import { logSeldom } from "../log.ts";
import { type Region, regionOf } from "../ring/region.ts";
import { type IdentityOptions, keyOf, UNKNOWN } from "./identity.ts";
import { pathsOf } from "./path.ts";

/** An error's text may hold what a client wrote. */
const MAX_DETAIL_CHARS = 200;

type Given<Value> = (c: Context) => Value | Promise<Value>;

export interface RateLimitOptions extends Omit<PolicyInput, "key" | "limit" | "cost"> {
  /**
   * Who is limited: parts as in the configuration, default `["ip"]`, or a function that gives one
   * text or several parts. If it throws or gives none, the request counts as `unknown`, with all
   * others like it, and a warning says so.
   */
  key?: PolicyInput["key"] | Given<string | string[] | undefined>;
  /**
   * Units in a window, or a function that gives them, such as the plan of a customer. It may give 0:
   * nothing passes then, and a client is told to come back when the window ends. If it throws or
   * gives anything else, the request is answered with 500, and an error in the log says why.
   */
  limit: number | Given<number>;
  /**
   * Units a request costs, or a function that gives them. Default 1. A request that costs more than
   * could ever pass is answered with 400; one for which the function fails, with 500, as above.
   */
  cost?: number | Given<number>;
}

/** A policy, and the functions that stand for its fields. */
export interface Rule {
  policy: Policy;
  key?: Given<string | string[] | undefined> | undefined;
  limit?: Given<number> | undefined;
  cost?: Given<number> | undefined;
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function parseRule({ key, limit, cost, ...options }: RateLimitOptions): Rule {
  const keyFunction = typeof key === "function" ? key : undefined;
  const limitFunction = typeof limit === "function" ? limit : undefined;
  const costFunction = typeof cost === "function" ? cost : undefined;
  if (costFunction && options.charge && options.charge !== "always") {
    const rule = 'must be a number where "charge" looks at the response';
    throw new MisuseError("cost", rule, "a function");
  }
  const parsed = parsePolicy({
    ...(keyFunction && { scope: "global" }),
    ...options,
    key: keyFunction ? undefined : key,
    // Until a request says otherwise.
    limit: limitFunction ? (options.burst ?? 1) : limit,
    cost: costFunction || limitFunction ? undefined : cost,
  });
  const policy = limitFunction && typeof cost !== "function" ? withCost(parsed, cost) : parsed;
  return { policy, key: keyFunction, limit: limitFunction, cost: costFunction };
}

/** Whether a fixed cost fits is known beforehand only where the burst is fixed, too. */
function withCost(policy: Policy, cost = 1): Policy {
  parse(unitsSchema, cost, "cost");
  if (policy.burst !== undefined) requireFits(cost, policy);
  return { ...policy, cost };
}

/** Thrown if a function of a rule throws, or gives what it may not; the log has said which. */
export class RuleError extends Error {
  override readonly name = "RuleError";
}

/** Finds the rules whose path and method a request meets. */
export class RuleBook {
  readonly #rules: readonly Rule[];
  readonly #router = new TrieRouter<Rule>();
  /** Does every request meet every rule? Then its path need not be read. */
  readonly #meetsAll: boolean;

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    this.#meetsAll = rules.every(({ policy }) => policy.path === "/*" && !policy.method);
    for (const rule of rules) {
      const [path] = pathsOf(`http://pattern${rule.policy.path}`);
      for (const method of rule.policy.method ?? [METHOD_NAME_ALL]) {
        this.#router.add(method, path, rule);
      }
    }
  }

  match(c: Context): readonly Rule[] {
    if (this.#meetsAll) return this.#rules;
    // Whoever limits GET does not mean to leave HEAD open.
    const method = c.req.method === "HEAD" ? "GET" : c.req.method;
    const met = pathsOf(c.req.url).flatMap((path) =>
      this.#router.match(method, path)[0].map(([rule]) => rule),
    );
    // By both readings, or, by the router's way, twice by one that has a `*` of its own.
    return met.length < 2 ? met : this.#rules.filter((rule) => met.includes(rule));
  }
}

/**
 * Returns the rule whose address list refuses the client, and those that are left to be counted.
 */
export function sift(
  rules: readonly Rule[],
  address: Address | undefined,
): { refusing: Rule | undefined; counting: Rule[] } {
  const counting = rules.filter(({ policy }) => !isListed(address, policy.allow));
  return { refusing: counting.find(({ policy }) => isListed(address, policy.deny)), counting };
}

/**
 * Returns one question for each key and scope: what has the same owner is decided in one hop.
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
  const region = regionOf(c.req.raw.cf as IncomingRequestCfProperties, options.homeRegion);
  const questions: { key: string[]; policies: Policy[]; region: Region }[] = [];
  for (const rule of rules) {
    const key = rule.key
      ? await readKey(c, rule.key, rule.policy)
      : keyOf(c, rule.policy.key, client, options);
    const policy = rule.limit || rule.cost ? await readPolicy(c, rule) : rule.policy;
    const known = questions.find(
      (question) => question.policies[0]?.scope === policy.scope && isSame(question.key, key),
    );
    if (known) known.policies.push(policy);
    else questions.push({ key, policies: [policy], region });
  }
  return questions;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, at) => part === other[at]);
}

async function readPolicy(c: Context, { policy, limit, cost }: Rule): Promise<Policy> {
  const limited = limit
    ? await apply("limit", policy, async () => withLimit(policy, limitOf(await limit(c))))
    : policy;
  const charged = cost
    ? await apply("cost", policy, async () => ({
        ...limited,
        cost: unitsOf("cost", await cost(c)),
      }))
    : limited;
  // Of no quota at all, no cost is the one that is too high.
  if (charged.limit > 0) requireFits(charged.cost, charged);
  return charged;
}

/** Also 0, which only a request's plan may have: a policy without a quota would be a mistake. */
function limitOf(given: unknown): number {
  return given === 0 ? 0 : unitsOf("limit", given);
}

function unitsOf(field: string, given: unknown): number {
  // Of text it says no more than that, since a client may have written it.
  return parse(unitsSchema, typeof given === "number" ? given : typeof given, field);
}

/** Runs what an operator wrote: its mistakes are told in the log, and never to the client. */
async function apply<Value>(
  field: "limit" | "cost",
  { name }: Policy,
  run: () => Promise<Value>,
): Promise<Value> {
  try {
    return await run();
  } catch (error) {
    logFailure(field, name, error);
    throw new RuleError(`the ${field} function of "${name}" failed`);
  }
}

function logFailure(field: "key" | "limit" | "cost", policy: string, error: unknown): void {
  const detail = String(error).slice(0, MAX_DETAIL_CHARS);
  const level = field === "key" ? "warn" : "error";
  logSeldom(level, `${field}-function-failed`, policy, { policy, detail });
}

async function readKey(
  c: Context,
  key: NonNullable<Rule["key"]>,
  { name }: Policy,
): Promise<string[]> {
  try {
    const parts = [await key(c)].flat();
    if (parts.length > 0 && parts.every((part) => typeof part === "string" && part)) {
      return parts as string[];
    }
    throw new TypeError("it must give text, or a list of texts, none of them empty");
  } catch (error) {
    logFailure("key", name, error);
    return [UNKNOWN];
  }
}
