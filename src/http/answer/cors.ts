/**
 * What other sites' pages may read of an answer, and what their browsers ask beforehand.
 *
 * The gate's own refusals can be read by every page: a refusal tells nothing but how long to wait,
 * and a page that cannot read it tries again at once. The origin's answers stay as closed or open as
 * the origin made them. In an own app, `cors()` in front of the limiter decides about both.
 */
import type { Context } from "hono";
import { parsePolicy } from "../../limit/policy.ts";
import type { Rule } from "../rule-functions.ts";

/** A header as it is to be. */
export type Header = readonly [name: string, value: string];

export const EXPOSE = "Access-Control-Expose-Headers";
/** Without these names a script sees `null` in the place of the fields. */
const FIELDS = "RateLimit, RateLimit-Policy, Retry-After";
export const LEGACY_FIELDS = "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";

/** An origin as browsers write it; `null` and what cannot be one are answered with `*`. */
const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[\w.:[\]-]{1,260}$/i;

/** No browser sends these with a preflight, and some servers would take another method from them. */
const NEVER_SENT = [
  ...["Cookie", "Authorization"],
  ...["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"],
];

/** Preflights of one client in a minute that cost it nothing; more where a policy is faster. */
const LEAST_PREFLIGHTS = 600;
const MINUTE_MS = 60_000;

/**
 * Returns the header that lets a page read the fields of an answer, if it may read the answer.
 *
 * @param isLegacy whether those are among them that `HEADERS = "legacy"` adds
 */
export function exposeHeader(headers: Headers, isLegacy: boolean): Header | undefined {
  if (!headers.has("Access-Control-Allow-Origin")) return undefined;
  const names = isLegacy ? `${FIELDS}, ${LEGACY_FIELDS}` : FIELDS;
  const before = headers.get(EXPOSE);
  // A limiter further in may have done so.
  if (before?.includes(names)) return undefined;
  return [EXPOSE, before ? `${before}, ${names}` : names];
}

/**
 * Lets a page read the fields of a refusal, if `cors()` in front of the limiter lets it read that.
 *
 * Written before the refusal is made: Hono adds to an answer what was set before it.
 */
export function exposeFields(c: Context): void {
  if (c.req.header("Origin") !== undefined) c.res.headers.append(EXPOSE, FIELDS);
}

/**
 * Lets every page read the gate's own answer to this request, with credentials or without.
 *
 * A request with credentials needs its own origin named, `*` would not do.
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
 * Does a browser ask whether a page's request may be sent (https://fetch.spec.whatwg.org, CORS
 * preflight)? Anybody can write such a request, so it has a limit too, and reaches the origin as
 * `OPTIONS` and as nothing else.
 */
export function isPreflight({ method, headers }: Request): boolean {
  return (
    method === "OPTIONS" &&
    headers.has("Access-Control-Request-Method") &&
    headers.has("Origin") &&
    !NEVER_SENT.some((name) => headers.has(name))
  );
}

/**
 * Makes the function that says what a preflight counts under: the policies that name `OPTIONS` in
 * `method`; where none does, a policy of preflights alone, by address, twice as fast as the fastest
 * of `rules` and at least 600 a minute. So it costs no request its quota, and is no way past.
 */
export function preflightRules(rules: readonly Rule[]) {
  const paces = rules.map(({ policy: { limit, windowMs } }) => (2 * limit * MINUTE_MS) / windowMs);
  const limit = Math.ceil(Math.max(LEAST_PREFLIGHTS, ...paces.filter(isCountable)));
  // No policy of an operator can have this name, and so its counts.
  const policy = { ...parsePolicy({ limit, window: "1m" }), name: "all preflights" };
  const preflights: Rule = { policy };
  return (met: readonly Rule[]): Rule[] => {
    const naming = met.filter(({ policy }) => policy.method);
    return naming.length > 0 || met.length === 0 ? naming : [preflights];
  };
}

function isCountable(units: number): boolean {
  return units <= 1_000_000_000;
}
