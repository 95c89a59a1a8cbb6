/**
 * The middleware: finds the policies that a request meets, asks, and lets it pass or refuses it.
 *
 * Decides before the handler runs. Policies on the same key are decided together in one hop; those
 * on different keys are asked at once, and if one denies, what the others took is given back.
 */

import type { Context, MiddlewareHandler } from "hono";
import type { Caller } from "../caller/caller.ts";
import { claimName, isolateCaller, isolateConfig } from "../caller/isolate.ts";
import type { Question } from "../caller/question.ts";
import { isListed } from "../limit/address-list.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { MisuseError } from "../limit/misuse.ts";
import type { LimiterConfig } from "../limiter-config.ts";
import { WORKERS } from "../runtime.ts";
import { admit, isQueued } from "./admission.ts";
import { needsSettlement, settle } from "./after-response.ts";
import { exposeFields, isPreflight, preflightRules } from "./answer/cors.ts";
import { refuseAsConfigured } from "./answer/custom-refusal.ts";
import { headersBesideInner, type QuotaHeaders } from "./answer/fields.ts";
import { problem } from "./answer/problem.ts";
import { refuse, refuseListed, refusePath, writeLegacyFields } from "./answer/refusal.ts";
import { writeFields } from "./answer/response.ts";
import { clientAddress } from "./key/identity.ts";
import { headerNormalizer } from "./key/normalize-headers.ts";
import { RuleMatcher } from "./match/rule-matcher.ts";
import { type Rule, RuleError } from "./rule-functions.ts";
import { applyAddressLists, parseRule, questionsOf, type RateLimitOptions } from "./rules.ts";

/** nginx's "client closed request"; nobody is there to read it. */
const LEFT = 499;

/** What the middleware leaves for the handlers after it. */
export interface RateLimitEnv {
  Variables: {
    /**
     * The decision that decided: of all policies so far, the one with the least left. Undefined where
     * no policy counted the request, as by `except`, an `allow` list or a limit of `Infinity`.
     */
    decision: Decision | undefined;
    /** The decisions of all policies that have counted the request so far. */
    decisions: Decision[] | undefined;
  };
}

/**
 * Makes a middleware that limits the requests of a Hono app, under one policy or several.
 *
 * Several in one call are taken all or none; those of separate calls, each for itself. A policy that
 * a request meets again, in whatever place, has counted it already.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 * @example app.use("/api/*", rateLimit({ limit: 100, window: "1m" }));
 */
export function rateLimit(...policies: RateLimitOptions[]): MiddlewareHandler<RateLimitEnv> {
  const stranger = policies.findIndex((policy) => typeof policy !== "object" || policy === null);
  if (stranger >= 0) {
    throw new MisuseError(
      `policies[${stranger}]`,
      "must be a policy's options",
      policies[stranger],
    );
  }
  const rules = policies.map(parseRule);
  if (rules.length === 0) throw new MisuseError("", "must be at least one policy", undefined);
  for (const [at, { policy, key, limit, window, cost, charge, refusal }] of rules.entries()) {
    if (rules.findIndex((rule) => rule.policy.name === policy.name) < at) {
      throw new MisuseError("name", "must be different for each policy", policy.name);
    }
    const isNamed = policies[at]?.name !== undefined;
    claimName(policy, {
      maker: "rateLimit",
      isNamed,
      functions: [key, limit, window, cost, charge, refusal],
    });
  }
  return enforce(rules, isolateCaller(), isolateConfig());
}

/** What is different where the handlers behind the middleware pass on what an origin answers. */
export interface Placement {
  /** Called before a request is refused: says which pages may read the refusal. */
  allowReading(c: Context): void;
  /** Returns the headers that tell of the quota on an answer that passed. */
  quotaHeaders: QuotaHeaders;
  /** Whether the handlers pass encoded bodies on as they are. */
  isRaw: boolean;
  /** Whether what answers the request gets its path with dots resolved. */
  resolvesDots: boolean;
}

const OWN_APP: Placement = {
  allowReading: exposeFields,
  quotaHeaders: headersBesideInner,
  isRaw: false,
  resolvesDots: false,
};

/** Makes the middleware from rules that are already read. */
export function enforce(
  rules: readonly Rule[],
  caller: Caller,
  config: Pick<LimiterConfig, "homeRegion" | "ipHeader" | "ipv6Prefix" | "allow" | "deny"> &
    Partial<Pick<LimiterConfig, "fields">>,
  { allowReading, quotaHeaders, isRaw, resolvesDots }: Placement = OWN_APP,
): MiddlewareHandler<RateLimitEnv> {
  const matcher = new RuleMatcher(rules, resolvesDots);
  const hasOwnRefusal = rules.some(({ policy, refusal }) => policy.refusal || refusal);
  const normalizeHeaders = headerNormalizer(rules);
  const rulesOfPreflight = preflightRules(rules);
  const isLegacy = config.fields === "legacy";
  const refuseAddress = (c: Context) => {
    allowReading(c);
    return refuseListed(c);
  };

  return async function rateLimit(c, next) {
    const address = clientAddress(c.req.raw.headers, config);
    if (isListed(address, config.allow)) return next();
    if (isListed(address, config.deny)) return refuseAddress(c);
    const found = matcher.match(c);
    if (!found) {
      allowReading(c);
      return refusePath();
    }
    const { refusing, counting: met } = applyAddressLists(found, address);
    if (refusing) return refuseAddress(c);
    const asksFirst = isPreflight(c.req.raw);
    const before = c.get("decisions") ?? [];
    const counting = uncounted(asksFirst ? rulesOfPreflight(met) : met, before);
    if (counting.length === 0) return next();
    normalizeHeaders?.(c, counting);

    let questions: Question[];
    try {
      questions = await questionsOf(c, counting, address, config);
    } catch (error) {
      allowReading(c);
      return refuseUncounted(error);
    }
    if (questions.length === 0) return next();
    const isWatched = needsSettlement(questions);
    const isKept = questions.length > 1 || isWatched || isQueued(questions);
    const admission = admit(c, caller, questions, isKept);
    // A client that leaves ends its request where it waits, and what is taken by then would be lost.
    if (isKept) WORKERS.keepAlive(admission.catch(() => {}));
    const { replies, rulings, hasLeft } = await admission;
    if (hasLeft) return new Response(null, { status: LEFT });
    const decisions = rulings.map((ruling) => ruling.decision);
    if (!decisive(decisions).allowed) {
      allowReading(c);
      if (isLegacy) writeLegacyFields(c, rulings);
      return hasOwnRefusal ? refuseAsConfigured(c, rulings, counting) : refuse(c, rulings);
    }
    const all = before.length > 0 ? [...before, ...decisions] : decisions;
    c.set("decision", decisive(all));
    c.set("decisions", all);
    await (isWatched ? settle(c, caller, replies, counting, next, isRaw) : next());
    // What a preflight has left is no page's to know, and none of its requests'.
    if (!asksFirst) writeFields(c, quotaHeaders(c.res.headers, rulings, isLegacy));
  };
}

/**
 * Returns the rules that have not counted the request yet: one limiter may stand on an app, on a part
 * of it and on a route.
 */
function uncounted(rules: readonly Rule[], before: readonly Decision[]): readonly Rule[] {
  if (before.length === 0) return rules;
  const counted = before.map((decision) => decision.policy);
  return rules.filter(({ policy }) => !counted.includes(policy.name));
}

/** Answers a cost that could never pass, and what an operator's function makes impossible. */
function refuseUncounted(error: unknown): Response {
  if (error instanceof RuleError) {
    const detail = "This request could not be counted.";
    return problem({ status: 500, title: "Internal error", detail });
  }
  if (!(error instanceof MisuseError)) throw error;
  const { message: detail, field } = error;
  return problem({ status: 400, title: "Request too costly", detail, field });
}
