/**
 * The middleware: finds the policies that a request meets, checks them, and lets the request pass
 * or refuses it.
 *
 * It decides before the handler runs, alongside it or without asking, as the policies' `mode` says.
 * Policies on one key are checked in one call to its owner. Different keys are checked in parallel,
 * and if one denies, the others get their cost back.
 */
import type { Context, MiddlewareHandler } from "hono";
import type { Caller } from "../caller/caller.ts";
import { claimName, isolateCaller, isolateConfig, requireCaller } from "../caller/isolate.ts";
import { LaterChecks } from "../caller/mode/later-checks.ts";
import type { Question } from "../caller/question.ts";
import { isListed } from "../limit/address-list.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { MisuseError } from "../limit/misuse.ts";
import { OTHER_NAME } from "../limit/policies.ts";
import { requireOptions } from "../limit/policy.ts";
import type { LimiterConfig } from "../limiter-config.ts";
import { WORKERS } from "../runtime.ts";
import { admit, isQueued, nobodyAsked } from "./admission.ts";
import { needsSettlement, settle } from "./after-response.ts";
import { type Ahead, runAhead } from "./ahead.ts";
import { exposeFields, isPreflight, preflightRules } from "./answer/cors.ts";
import { refuseAsConfigured } from "./answer/custom-refusal.ts";
import { headersBesideInner, type QuotaHeaders } from "./answer/fields.ts";
import { problem } from "./answer/problem.ts";
import { refuse, refuseListed, refusePath, writeLegacyFields } from "./answer/refusal.ts";
import { writeFields } from "./answer/response.ts";
import { rulingsOf } from "./answer/ruling.ts";
import type { Decode } from "./cost/decoding.ts";
import { costInBody } from "./cost/estimate.ts";
import { clientAddress } from "./key/identity.ts";
import { headerNormalizer } from "./key/normalize-headers.ts";
import { methodsOf, RuleMatcher } from "./match/rule-matcher.ts";
import { type Rule, RuleError } from "./rule-functions.ts";
import {
  applyAddressLists,
  isRead,
  parseRule,
  questionsOf,
  type RateLimitOptions,
  readRules,
} from "./rules.ts";

/** nginx's status for a client that closed the connection. Nobody reads it. */
const CLIENT_CLOSED_REQUEST = 499;

/** Names of the policies that count a request whose handlers run ahead of the verdict. */
const underWay = new WeakMap<Context, readonly string[]>();

/** What the middleware sets for the handlers after it. */
export interface RateLimitEnv {
  Variables: {
    /**
     * The decision with the least left, of all policies that have counted the request so far.
     * Undefined if no policy has, as under `except`, an `allow` list or a limit of `Infinity`.
     * Under `mode: "alongside"` the handler starts without a decision; it is there after `next()`.
     */
    decision: Decision | undefined;
    /** The decisions of all policies that have counted the request so far. */
    decisions: Decision[] | undefined;
  };
}

/**
 * Makes a middleware that limits the requests of a Hono app, under one policy or several.
 *
 * The policies of one middleware take their costs all or none. Two middlewares decide separately. A
 * policy counts a request once, even if the request passes several middlewares that have it. A
 * request that Hono makes anew, to override a method or for a mounted app, is another request.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 * @example app.use("/api/*", rateLimit({ limit: 100, window: "1m" }));
 */
export function rateLimit(...policies: RateLimitOptions[]): MiddlewareHandler<RateLimitEnv> {
  const rules = policies.map((policy, at) => {
    requireOptions(policy, `policies[${at}]`);
    return parseRule(policy);
  });
  if (rules.length === 0) throw new MisuseError("", "must be at least one policy", undefined);
  for (const [at, { policy, ...functions }] of rules.entries()) {
    if (rules.findIndex((rule) => rule.policy.name === policy.name) < at) {
      throw new MisuseError("name", OTHER_NAME, policy.name);
    }
    const isNamed = policies[at]?.name !== undefined;
    claimName(policy, { maker: "rateLimit", isNamed, functions: Object.values(functions) });
  }
  requireCaller();
  return enforce(rules, isolateCaller, isolateConfig());
}

/** Where the middleware stands: in a user's own app, or in the gateway. */
export interface Placement {
  /** Sets the CORS headers of a refusal, before it is made. */
  allowReading(c: Context): void;
  /** Returns the headers that tell of the quota, for a response that passed. */
  quotaHeaders: QuotaHeaders;
  /** Reads encoded bodies, if the handlers pass them on as they are. */
  decode: Decode | undefined;
  /** Whether the handlers get the path with dots resolved. */
  resolvesDots: boolean;
  /** Returns the headers of a request that the origin does not get, in lower case. Default none. */
  removed?: (headers: Headers) => readonly string[];
}

const OWN_APP: Placement = {
  allowReading: exposeFields,
  quotaHeaders: headersBesideInner,
  decode: undefined,
  resolvesDots: false,
};

/**
 * Makes the middleware from rules that are already parsed.
 *
 * @param callers the caller, or a function that returns it for each request
 */
export function enforce(
  given: readonly Rule[],
  callers: Caller | (() => Caller),
  config: Pick<LimiterConfig, "homeRegion" | "ipHeader" | "ipv6Prefix" | "allow" | "deny"> &
    Partial<Pick<LimiterConfig, "fields">>,
  { allowReading, quotaHeaders, decode, resolvesDots, removed }: Placement = OWN_APP,
): MiddlewareHandler<RateLimitEnv> {
  const rules = given.map(withCostInBody);
  const matcher = new RuleMatcher(rules, resolvesDots);
  const hasOwnRefusal = rules.some(({ policy, refusal }) => policy.refusal || refusal);
  const normalizeHeaders = headerNormalizer(rules, removed);
  const rulesOfPreflight = preflightRules(rules);
  const callsFunctions = rules.some(isRead);
  const hasModes = rules.some(({ policy }) => policy.mode !== "before");
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
    const counting = uncounted(c, asksFirst ? rulesOfPreflight(met) : met);
    if (counting.length === 0) return next();
    normalizeHeaders?.(c, counting);

    const caller = typeof callers === "function" ? callers() : callers;
    let questions: Question[];
    try {
      const read = callsFunctions ? await readRules(c, counting) : counting;
      questions = questionsOf(c, read, address, config);
      if (callsFunctions) await caller.costly.requirePossible(questions);
    } catch (error) {
      allowReading(c);
      return refuseUncounted(error);
    }
    if (questions.length === 0) return next();
    const settles = needsSettlement(questions);
    const isKept = questions.length > 1 || settles || isQueued(questions);
    const later = hasModes ? new LaterChecks(caller.background, questions) : undefined;
    const asked = later?.asked ?? questions;
    const headStart =
      hasModes && isAlongside(c, asked) ? caller.headStarts.begin(asked) : undefined;
    const admission = asked.length > 0 ? admit(c, caller, asked, isKept) : undefined;
    // If the client leaves, the request ends where it waits, and nobody would give the cost back.
    if (admission && isKept) WORKERS.keepAlive(admission.catch(() => {}));
    let ahead: Ahead | undefined;
    if (headStart?.mayStart) {
      const names = counting.map(({ policy }) => policy.name);
      underWay.set(c, [...(underWay.get(c) ?? []), ...names]);
      ahead = runAhead(c, next);
    }
    const { replies, rulings, hasLeft } = admission ? await admission : nobodyAsked();
    headStart?.end(replies);
    if (later && !hasLeft) rulings.push(...rulingsOf(later.complete(replies)));
    const decisions = rulings.map((ruling) => ruling.decision);
    if (hasLeft || !decisive(decisions).allowed) {
      const answer = () => {
        if (hasLeft) return new Response(null, { status: CLIENT_CLOSED_REQUEST });
        allowReading(c);
        if (isLegacy) writeLegacyFields(c, rulings);
        return hasOwnRefusal ? refuseAsConfigured(c, rulings, counting) : refuse(c, rulings);
      };
      return ahead ? ahead.refuse(answer) : answer();
    }
    const handle = ahead ? ahead.ended : next;
    noteDecisions(c, decisions);
    await (settles ? settle(c, caller, replies, counting, handle, decode) : handle());
    // A preflight has a quota of its own, which says nothing about the page's requests.
    if (!asksFirst) writeFields(c, quotaHeaders(c.res.headers, rulings, isLegacy));
  };
}

function withCostInBody(rule: Rule): Rule {
  const { policy } = rule;
  return policy.costPath ? { ...rule, cost: costInBody(policy, policy.costPath) } : rule;
}

/** Returns the rules that no earlier middleware counts the request under. */
function uncounted(c: Context<RateLimitEnv>, rules: readonly Rule[]): readonly Rule[] {
  const decided = c.get("decisions");
  const deciding = underWay.get(c);
  if (!decided && !deciding) return rules;
  const counted = [...(deciding ?? []), ...(decided ?? []).map(({ policy }) => policy)];
  return rules.filter(({ policy }) => !counted.includes(policy.name));
}

/**
 * Returns true if the handlers may run ahead of these verdicts, under each method that is named.
 */
function isAlongside(c: Context, asked: readonly Question[]): boolean {
  if (asked.length === 0) return false;
  const methods = methodsOf(c.req);
  return asked
    .flatMap(({ policies }) => policies)
    .every(
      ({ mode, aheadMethods }) =>
        mode === "alongside" && methods.every((method) => aheadMethods.includes(method)),
    );
}

/** Sets the variables that handlers read; the decisions of earlier limiters stay in them. */
function noteDecisions(c: Context<RateLimitEnv>, decisions: Decision[]): void {
  const others = c.get("decisions");
  const all = others ? [...others, ...decisions] : decisions;
  c.set("decision", decisive(all));
  c.set("decisions", all);
}

/** Answers a request that could not be counted: too high a cost, or a rule's function failed. */
function refuseUncounted(error: unknown): Response {
  if (error instanceof RuleError) {
    const detail = "This request could not be counted.";
    return problem({ status: 500, title: "Internal error", detail });
  }
  if (!(error instanceof MisuseError)) throw error;
  const { message: detail, field } = error;
  return problem({ status: 400, title: "Request too costly", detail, field });
}
