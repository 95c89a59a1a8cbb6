/**
 * `GET /_turnpike/v1/quota`: what a browser has left, for a product's own page, without a token.
 *
 * The gateway reads the client's key from the request, as it does to limit one, so nobody can ask
 * about another's. The call tells what the `RateLimit` fields of an answer would, and spends
 * nothing. Other sites' pages read it only if `QUOTA_ORIGINS` names them. A client may ask twice a
 * second on average, so that nobody can try credentials by it, or keep owners busy.
 */
import { Context } from "hono";
import type { HonoBase } from "hono/hono-base";
import * as v from "valibot";
import type { Caller } from "../../caller/caller.ts";
import { decided } from "../../caller/question.ts";
import type { Config } from "../../config.ts";
import { isListed } from "../../limit/address-list.ts";
import { MisuseError, parse } from "../../limit/misuse.ts";
import { type Policy, parsePolicy } from "../../limit/policy.ts";
import { parseUrl } from "../../limit/url.ts";
import { nearestRegion } from "../../ring/region.ts";
import { EXPOSE } from "../answer/cors.ts";
import { problem, wrongMethod } from "../answer/problem.ts";
import { refuseListed } from "../answer/refusal.ts";
import { type Ruling, rulingsOf } from "../answer/ruling.ts";
import { newApp } from "../app.ts";
import { clientAddress, clientKey } from "../key/identity.ts";
import { RuleMatcher } from "../match/rule-matcher.ts";
import type { Rule } from "../rule-functions.ts";
import { applyAddressLists, questionsOf, readRules } from "../rules.ts";
import { answerError, tooMany } from "./api-error.ts";
import { queryOf } from "./query.ts";

/** What is left under one policy. */
export interface Quota {
  policy: string;
  limit: number;
  windowMs: number;
  remaining: number;
  resetMs: number;
  exact: boolean;
}

/** How often a client may ask. */
const READS: Policy = {
  ...parsePolicy({ limit: 120, window: "1m" }),
  // A policy's name cannot have a blank, so no other call counts under it.
  name: "quota reads",
};
const PREFLIGHT_SECONDS = 3_600;

const methodSchema = v.picklist(
  ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
  "must be GET, HEAD, POST, PUT, PATCH or DELETE",
);
/** Other fields are ignored: libraries add some, such as jQuery's `_`, against caches. */
const querySchema = v.object({
  path: v.optional(v.string(), "/"),
  method: v.optional(methodSchema, "GET"),
  policy: v.optional(v.string()),
});

/** @param rulesNow returns the rules in force */
export function quotaApi(
  caller: Caller,
  config: Config,
  rulesNow: () => readonly Rule[],
): HonoBase {
  const app = newApp();
  app.onError(answerError);
  app.use(async (c, next) => {
    const origin = c.req.header("Origin");
    if (origin === undefined) return next();
    const isOwn = origin === parseUrl(c.req.url)?.origin;
    if (!isOwn && !config.quotaOrigins.includes(origin)) return refuseOrigin();
    await next();
    // Headers are set last: Hono adds those that were set before only to answers that it makes.
    c.header("Vary", "Origin");
    c.header("Access-Control-Allow-Origin", origin);
    c.header("Access-Control-Allow-Credentials", "true");
    c.header(EXPOSE, "Retry-After");
  });
  app.options("/", (c) => {
    c.header("Access-Control-Allow-Methods", "GET, HEAD");
    c.header("Access-Control-Allow-Headers", c.req.header("Access-Control-Request-Headers"));
    c.header("Access-Control-Max-Age", String(PREFLIGHT_SECONDS));
    return c.body(null, 204);
  });
  app.get("/", async (c) => {
    const { headers, cf } = c.req.raw;
    const address = clientAddress(headers, config);
    if (isListed(address, config.allow)) return c.json({ quotas: [] });
    if (isListed(address, config.deny)) return refuseListed();
    const region = nearestRegion(cf as IncomingRequestCfProperties, config.homeRegion);
    const key = ["quota", ...clientKey(address, { headers }, config)];
    const reads = await caller.check([{ key, policies: [READS], region, isGuard: true }]);
    const { allowed, retryAfterMs } = decided(reads);
    if (!allowed) return tooMany("A client may ask 120 times a minute.", retryAfterMs);

    const { path, method, policy: wanted } = parse(querySchema, queryOf(c));
    const told = rulesNow().filter(({ policy }) => !policy.shadow);
    if (wanted !== undefined && !told.some(({ policy }) => policy.name === wanted)) {
      throw new MisuseError("policy", "must be the name of a policy", wanted);
    }
    const asked = askedAbout(c, path, method);
    const found = new RuleMatcher(rulesNow()).match(asked);
    if (!found) throw new MisuseError("path", "must be a path that is not refused", asked.req.url);
    const { refusing, counting } = applyAddressLists(found, address);
    if (refusing) return refuseListed();
    const rules = counting.filter(
      ({ policy }) => !policy.shadow && policy.name === (wanted ?? policy.name),
    );
    const questions = questionsOf(asked, await readRules(asked, rules), address, config);
    const replies = questions.length > 0 ? await caller.peek(questions) : [];
    c.header("Cache-Control", "no-store");
    return c.json({ quotas: rulingsOf(replies).map(quotaOf) });
  });
  app.all("/", () => wrongMethod("GET, HEAD"));
  return app;
}

/** Returns the request that is asked about: this one, with another path and method. */
function askedAbout(c: Context, path: string, method: string): Context {
  const url = path.startsWith("/") ? parseUrl(`${parseUrl(c.req.url)?.origin}${path}`) : null;
  if (!url) throw new MisuseError("path", 'must be a path such as "/search?q=1"', path);
  const { headers, cf } = c.req.raw;
  return new Context(new Request(url, { method, headers, ...(cf && { cf }) }));
}

function quotaOf({ policy, decision }: Ruling): Quota {
  const { limit, resetMs, exact, reason } = decision;
  // What is left under an operator's block can't be spent.
  const remaining = reason === "blocked" ? 0 : decision.remaining;
  return { policy: policy.name, limit, windowMs: policy.windowMs, remaining, resetMs, exact };
}

function refuseOrigin(): Response {
  const detail = "QUOTA_ORIGINS does not name the origin of this page.";
  return problem({ status: 403, title: "Not allowed", detail }, { Vary: "Origin" });
}
