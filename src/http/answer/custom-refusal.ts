/**
 * A policy's own refusal: a status, a body, a redirect, or a function's response.
 *
 * Each of these answers has the RateLimit fields and `no-store`.
 */

import type { Context } from "hono";
import type { Refusal } from "../../limit/refusal.ts";
import { parseUrl } from "../../limit/url.ts";
import { logFailure, type Rule } from "../rule-functions.ts";
import { EXPOSE } from "./cors.ts";
import { refusalHeaders, refuse } from "./refusal.ts";
import { decidingRuling, type Ruling } from "./ruling.ts";

/**
 * Answers a denied request as the policy that denied it says, or else as `refuse` does.
 *
 * A fixed refusal answers a client that is over its limit or blocked. If no owner answered, the
 * client gets the standard 503. A function answers both cases.
 *
 * @param rules the rules that the request met
 */
export async function refuseAsConfigured(
  c: Context,
  rulings: readonly Ruling[],
  rules: readonly Rule[],
): Promise<Response> {
  const { policy, decision } = decidingRuling(rulings);
  const answer = rules.find((rule) => rule.policy.name === policy.name)?.refusal;
  if (answer) {
    const exposed = c.res.headers.get(EXPOSE);
    try {
      const own = withRefusalHeaders(await answer(c, decision), rulings);
      // Hono replaces what the function exposes by what is in `c.res`.
      const others = own.headers.get(EXPOSE);
      if (exposed && others && !others.includes(exposed)) {
        c.res.headers.set(EXPOSE, `${others}, ${exposed}`);
      }
      return own;
    } catch (error) {
      logFailure("refusal", policy.name, error);
      return refuse(c, rulings);
    }
  }
  const own = decision.reason === "failed" ? undefined : policy.refusal;
  if (own?.redirect && !pointsToItself(c, own.redirect)) {
    const { status, location } = own.redirect;
    const redirect = new Response(null, { status, headers: { Location: location } });
    return withRefusalHeaders(redirect, rulings);
  }
  if (!own?.body) return refuse(c, rulings);
  const headers = { "Content-Type": own.body.type, "X-Content-Type-Options": "nosniff" };
  const answered = new Response(own.body.text, { status: own.status, headers });
  return withRefusalHeaders(answered, rulings);
}

/** Returns a copy of the response, with the headers that every refusal has. */
function withRefusalHeaders(given: unknown, rulings: readonly Ruling[]): Response {
  if (!(given instanceof Response)) throw new TypeError("it must give a Response");
  const response = new Response(given.body, given);
  const fields = refusalHeaders(rulings);
  // Beside a redirect, `Retry-After` says when to follow it (RFC 9110, section 10.2.3).
  const isRedirect = given.status >= 300 && given.status < 400;
  if (isRedirect || given.headers.has("Retry-After")) delete fields["Retry-After"];
  for (const [name, value] of Object.entries(fields)) response.headers.set(name, value);
  return response;
}

/** Returns true if the redirect leads to the URL that the client asked for, and so never ends. */
function pointsToItself(c: Context, { location }: NonNullable<Refusal["redirect"]>): boolean {
  const here = parseUrl(c.req.url);
  // If the client's `Host` cannot be parsed, its URL is unknown, and a redirect might not end.
  if (!here) return true;
  const there = new URL(location, here);
  return there.host === here.host && there.pathname === here.pathname;
}
