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
import { refuse, refuseListed, refusePath, writeFields, writeLegacyFields } from "./answer.ts";
import { exposeRefusal, isPreflight, preflightRules } from "./cors.ts";
import { type Teller, tellBeside } from "./fields.ts";
import { clientAddress } from "./identity.ts";
import { narrowing } from "./narrow.ts";
import { problem } from "./problem.ts";
import { refuseInOwnWords } from "./refusal.ts";
import { RuleBook } from "./rule-book.ts";
import { type Rule, RuleError } from "./rule-functions.ts";
import { parseRule, questionsOf, type RateLimitOptions, sift } from "./rules.ts";
import { isSettled, settle } from "./settlement.ts";

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
export interface Surroundings {
  /** Called before a request is refused: says which pages may read the refusal. */
  open(c: Context): void;
  /** Returns the headers that tell of the quota on an answer that passed. */
  tell: Teller;
  /** Whether the handlers pass encoded bodies on as they are. */
  isRaw: boolean;
  /** Whether what answers the request gets its path with dots resolved. */
  resolvesDots: boolean;
}

const OWN_APP: Surroundings = {
  open: exposeRefusal,
  tell: tellBeside,
  isRaw: false,
  resolvesDots: false,
};

/** Makes the middleware from rules that are already read. */
export function enforce(
  rules: readonly Rule[],
  caller: Caller,
  config: Pick<LimiterConfig, "homeRegion" | "ipHeader" | "ipv6Prefix" | "allow" | "deny"> &
    Partial<Pick<LimiterConfig, "fields">>,
  { open, tell, isRaw, resolvesDots }: Surroundings = OWN_APP,
): MiddlewareHandler<RateLimitEnv> {
  const book = new RuleBook(rules, resolvesDots);
  const hasOwnRefusal = rules.some(({ policy, refusal }) => policy.refusal || refusal);
  const narrow = narrowing(rules);
  const rulesOfPreflight = preflightRules(rules);
  const isLegacy = config.fields === "legacy";
  const refuseAddress = (c: Context) => {
    open(c);
    return refuseListed(c);
  };

  return async function rateLimit(c, next) {
    const address = clientAddress(c.req.raw.headers, config);
    if (isListed(address, config.allow)) return next();
    if (isListed(address, config.deny)) return refuseAddress(c);
    const found = book.match(c);
    if (!found) {
      open(c);
      return refusePath();
    }
    const { refusing, counting: met } = sift(found, address);
    if (refusing) return refuseAddress(c);
    const asksFirst = isPreflight(c.req.raw);
    const before = c.get("decisions") ?? [];
    const counting = uncounted(asksFirst ? rulesOfPreflight(met) : met, before);
    if (counting.length === 0) return next();
    narrow?.(c, counting);

    let questions: Question[];
    try {
      questions = await questionsOf(c, counting, address, config);
    } catch (error) {
      open(c);
      return refuseUnread(error);
    }
    if (questions.length === 0) return next();
    const isWatched = isSettled(questions);
    const isKept = questions.length > 1 || isWatched || isQueued(questions);
    const admission = admit(c, caller, questions, isKept);
    // A client that leaves ends its request where it waits, and what is taken by then would be lost.
    if (isKept) WORKERS.keepAlive(admission.catch(() => {}));
    const { replies, rulings, hasLeft } = await admission;
    if (hasLeft) return new Response(null, { status: LEFT });
    const decisions = rulings.map((ruling) => ruling.decision);
    if (!decisive(decisions).allowed) {
      open(c);
      if (isLegacy) writeLegacyFields(c, rulings);
      return hasOwnRefusal ? refuseInOwnWords(c, rulings, counting) : refuse(c, rulings);
    }
    const all = before.length > 0 ? [...before, ...decisions] : decisions;
    c.set("decision", decisive(all));
    c.set("decisions", all);
    await (isWatched ? settle(c, caller, replies, counting, next, isRaw) : next());
    // What a preflight has left is no page's to know, and none of its requests'.
    if (!asksFirst) writeFields(c, tell(c.res.headers, rulings, isLegacy));
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
function refuseUnread(error: unknown): Response {
  if (error instanceof RuleError) {
    const detail = "This request could not be counted.";
    return problem({ status: 500, title: "Internal error", detail });
  }
  if (!(error instanceof MisuseError)) throw error;
  const { message: detail, field } = error;
  return problem({ status: 400, title: "Request too costly", detail, field });
}
