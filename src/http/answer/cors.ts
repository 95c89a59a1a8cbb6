/**
 * CORS: which answers pages of other sites may read, and their preflights.
 *
 * Every page may read the gate's own refusals. A refusal says only how long to wait, and a page
 * that cannot read it tries again at once. The gate leaves the CORS headers of the origin as they
 * are. In a user's own app, `cors()` in front of the limiter decides.
 */
import type { Context } from "hono";
import { parsePolicy } from "../../limit/policy.ts";
import { MAX_UNITS } from "../../limit/policy-schema.ts";
import { METHOD_OVERRIDES } from "../match/rule-matcher.ts";
import type { Rule } from "../rule-functions.ts";

export type Header = readonly [name: string, value: string];

export const EXPOSE = "Access-Control-Expose-Headers";
/** A script of another site reads only the headers that are exposed. */
const FIELDS = "RateLimit, RateLimit-Policy, Retry-After";
export const LEGACY_FIELDS = "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";

/**
 * An origin as browsers write it: `null` in a sandboxed frame, or after a redirect to another site.
 * Other text is answered with `*`.
 */
const ORIGIN = /^(?:null|[a-z][a-z\d+.-]*:\/\/[\w.:[\]-]{1,260})$/i;

/** Headers that browsers never send with a preflight: credentials, and overrides of the method. */
const NEVER_SENT = ["Cookie", "Authorization", ...METHOD_OVERRIDES];

/** The least limit for the preflights of one client in a minute. */
const LEAST_PREFLIGHTS = 600;
const MINUTE_MS = 60_000;

/**
 * Returns the header that lets a page read the fields, if the page may read the answer.
 *
 * @param isLegacy whether `X-RateLimit-*` are among the fields
 */
export function exposeHeader(headers: Headers, isLegacy: boolean): Header | undefined {
  if (!headers.has("Access-Control-Allow-Origin")) return undefined;
  const names = isLegacy ? `${FIELDS}, ${LEGACY_FIELDS}` : FIELDS;
  const before = headers.get(EXPOSE);
  // A limiter closer to the handler may have set it.
  if (before?.includes(names)) return undefined;
  return [EXPOSE, before ? `${before}, ${names}` : names];
}

/**
 * Lets a page read the fields of a refusal, if `cors()` lets it read the refusal itself. Call this
 * before the refusal is made: Hono adds headers that were set before it.
 */
export function exposeFields(c: Context): void {
  if (c.req.header("Origin") !== undefined) c.res.headers.append(EXPOSE, FIELDS);
}

/**
 * Lets every page read the gate's own answer to this request. A request with credentials needs its
 * origin named instead of `*`.
 */
export function allowEveryPage(c: Context): void {
  const origin = c.req.header("Origin");
  if (origin === undefined) return;
  const { headers } = c.res;
  headers.append(EXPOSE, FIELDS);
  headers.set("Vary", "Accept, Origin");
  const isNamed = ORIGIN.test(origin);
  headers.set("Access-Control-Allow-Origin", isNamed ? origin : "*");
  if (isNamed) headers.set("Access-Control-Allow-Credentials", "true");
}

/**
 * Returns true for a CORS preflight (https://fetch.spec.whatwg.org). Any client can write one, so
 * preflights have a limit too, and reach the origin only as `OPTIONS`.
 */
export function isPreflight(request: Request): boolean {
  // Headers cost a call into the runtime, and nearly no request needs them here.
  if (request.method !== "OPTIONS") return false;
  const { headers } = request;
  return (
    headers.has("Access-Control-Request-Method") &&
    headers.has("Origin") &&
    !NEVER_SENT.some((name) => headers.has(name))
  );
}

/**
 * Makes the function that returns the rules of a preflight: those that name `OPTIONS` in `method`,
 * or else one rule for preflights alone, by address. Its limit is twice that of the fastest rule,
 * and at least 600 a minute. So preflights take nothing from the quota of requests.
 */
export function preflightRules(rules: readonly Rule[]) {
  const paces = rules.map(({ policy: { limit, windowMs } }) => (2 * limit * MINUTE_MS) / windowMs);
  const countable = paces.filter((pace) => pace <= MAX_UNITS);
  const limit = Math.ceil(Math.max(LEAST_PREFLIGHTS, ...countable));
  // A policy's name cannot have a blank, so no configured policy shares these counts.
  const policy = { ...parsePolicy({ limit, window: "1m" }), name: "all preflights" };
  const preflights: Rule = { policy };
  return (met: readonly Rule[]): Rule[] => {
    const naming = met.filter(({ policy }) => policy.method);
    return naming.length > 0 || met.length === 0 ? naming : [preflights];
  };
}
