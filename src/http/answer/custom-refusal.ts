/**
 * Refusals in a policy's own words: a status, a text, a redirect, or what a function makes of it.
 *
 * The RateLimit fields and `no-store` are on each of them, whatever a function says.
 */

import type { Context } from "hono";
import type { Policy } from "../../limit/policy.ts";
import type { Refusal } from "../../limit/refusal.ts";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import type { Rule } from "../rule-functions.ts";
import { refusalHeaders, refuse } from "./refusal.ts";
import { decidingRuling, type Ruling } from "./ruling.ts";

/** An error's text may hold what a client wrote. */
const MAX_DETAIL_CHARS = 200;

/**
 * Answers a request that may not pass as the policy that denied it says, or else as `refuse` does.
 *
 * What is fixed answers a client that is over its limit or blocked; where no owner answered, the
 * client gets the standard 503. A function is asked about both.
 *
 * @param rules those that the request met
 */
export async function refuseAsConfigured(
  c: Context,
  rulings: readonly Ruling[],
  rules: readonly Rule[],
): Promise<Response> {
  const { policy, decision } = decidingRuling(rulings);
  const answer = rules.find((rule) => rule.policy.name === policy.name)?.refusal;
  if (answer) {
    try {
      return withRefusalHeaders(await answer(c, decision), rulings);
    } catch (error) {
      logFailure(policy, error);
      return refuse(c, rulings);
    }
  }
  const own = decision.reason === "failed" ? undefined : policy.refusal;
  if (own?.redirect && !pointsToItself(c, own.redirect)) return redirected(own.redirect, rulings);
  if (!own?.body) return refuse(c, rulings);
  const headers = {
    ...refusalHeaders(rulings),
    "Content-Type": own.body.type,
    "X-Content-Type-Options": "nosniff",
  };
  return new Response(own.body.text, { status: own.status, headers });
}

/** The answer that a function gave, with what belongs on every refusal. */
function withRefusalHeaders(given: unknown, rulings: readonly Ruling[]): Response {
  if (!(given instanceof Response)) throw new TypeError("it must give a Response");
  // A copy: the headers of what `fetch` gave cannot be written.
  const response = new Response(given.body, given);
  const fields = refusalHeaders(rulings);
  // Beside a redirect it would say when to follow it (RFC 9110, section 10.2.3).
  const isRedirect = given.status >= 300 && given.status < 400;
  if (isRedirect || given.headers.has("Retry-After")) delete fields["Retry-After"];
  for (const [name, value] of Object.entries(fields)) response.headers.set(name, value);
  return response;
}

function redirected(
  { status, location }: NonNullable<Refusal["redirect"]>,
  rulings: readonly Ruling[],
): Response {
  return withRefusalHeaders(
    new Response(null, { status, headers: { Location: location } }),
    rulings,
  );
}

/** Would a client that is denied be sent to where it is already? Without end, then. */
function pointsToItself(c: Context, { location }: NonNullable<Refusal["redirect"]>): boolean {
  const here = parseUrl(c.req.url);
  // Where a client is with a host that cannot be read, nobody knows.
  if (!here) return true;
  const there = new URL(location, here);
  return there.host === here.host && there.pathname === here.pathname;
}

function logFailure({ name }: Policy, error: unknown): void {
  const detail = String(error).slice(0, MAX_DETAIL_CHARS);
  logSeldom("error", "refusal-function-failed", name, { policy: name, detail });
}
