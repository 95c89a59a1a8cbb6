/**
 * The middleware: matches policies to a request, asks, and lets it pass or refuses it.
 *
 * Decides before the handler runs. Policies on the same key are decided together, all or none; those
 * on different keys are asked at once, and what one of them spent stays spent if another denies.
 */
import type { Context, MiddlewareHandler } from "hono";
import { METHOD_NAME_ALL } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";
import type { Caller, Question } from "../caller/caller.ts";
import { claimName, isolateCaller, isolateConfig } from "../caller/isolate.ts";
import type { Config } from "../config.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { type Policy, type PolicyInput, parsePolicy } from "../limit/policy.ts";
import { regionOf } from "../ring/region.ts";
import { type Ruling, rateLimitFields, refuse } from "./answer.ts";
import { clientKey, UNKNOWN } from "./identity.ts";

/** Says who a request counts as: one text, or parts that together are the key. */
export type KeyFunction = (c: Context) => string | string[] | Promise<string | string[]>;

export interface RateLimitOptions extends Omit<PolicyInput, "key"> {
  /**
   * Who is limited. Default `["ip"]`: the client's address. A function may name anyone else; if it
   * throws or gives nothing, the request counts as `unknown`, together with all others like it.
   */
  key?: PolicyInput["key"] | KeyFunction;
}

/** What the middleware leaves for the handlers after it: `c.var.decision`. */
export interface RateLimitEnv {
  Variables: { decision: Decision };
}

/** A policy, and the function that names its key if it is not named in words. */
export interface Rule {
  policy: Policy;
  keyFunction?: KeyFunction | undefined;
}

/**
 * Makes a middleware that limits the requests of a Hono app.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 * @example app.use("/api/*", rateLimit({ limit: 100, window: "1m" }));
 */
export function rateLimit({ key, ...options }: RateLimitOptions): MiddlewareHandler<RateLimitEnv> {
  const keyFunction = typeof key === "function" ? key : undefined;
  const scope = keyFunction ? { scope: "global" } : {};
  const policy = parsePolicy({ ...scope, ...options, ...(keyFunction ? {} : { key }) });
  claimName(policy);
  return enforce([{ policy, keyFunction }], isolateCaller(), isolateConfig());
}

/** Makes the middleware from rules that are already read. */
export function enforce(
  rules: readonly Rule[],
  caller: Caller,
  config: Pick<Config, "homeRegion" | "ipHeader" | "ipv6Prefix">,
): MiddlewareHandler<RateLimitEnv> {
  const router = new TrieRouter<Rule>();
  for (const rule of rules) {
    for (const method of rule.policy.method ?? [METHOD_NAME_ALL]) {
      router.add(method, rule.policy.path, rule);
    }
  }

  return async function rateLimit(c, next) {
    const matching = router.match(c.req.method, c.req.path)[0].map(([rule]) => rule);
    if (matching.length === 0) return next();
    const questions = await ask(c, matching);
    const answers = await caller.check(questions);
    const rulings = questions.flatMap(({ policies }, index): Ruling[] =>
      policies.map((policy, at) => ({ policy, decision: answers[index]?.[at] as Decision })),
    );
    const decision = decisive(rulings.map((ruling) => ruling.decision));
    if (!decision.allowed) return refuse(c, rulings);
    c.set("decision", decision);
    await next();
    for (const [name, value] of Object.entries(rateLimitFields(rulings))) {
      // Another limiter, further in, may have had its say before.
      c.header(name, value, { append: true });
    }
  };

  /** One question for each key and scope: what has the same owner is decided in one hop. */
  async function ask(c: Context, matching: readonly Rule[]): Promise<Question[]> {
    const region = regionOf(c.req.raw.cf as IncomingRequestCfProperties, config.homeRegion);
    const keys = await Promise.all(matching.map((rule) => keyOf(c, rule)));
    const groups = Map.groupBy(matching.entries(), ([index, { policy }]) =>
      JSON.stringify([policy.scope, keys[index]]),
    );
    return Array.from(groups.values(), (group) => ({
      key: keys[group[0]?.[0] as number] as string[],
      policies: group.map(([, { policy }]) => policy),
      cost: 1,
      region,
    }));
  }

  async function keyOf(c: Context, { policy, keyFunction }: Rule): Promise<string[]> {
    if (!keyFunction) return clientKey(c.req.raw.headers, config);
    try {
      const parts = [await keyFunction(c)].flat();
      if (parts.length > 0 && parts.every((part) => typeof part === "string" && part)) return parts;
    } catch (error) {
      const warning = { event: "key-function-failed", policy: policy.name, detail: String(error) };
      console.warn(JSON.stringify(warning));
    }
    return [UNKNOWN];
  }
}
