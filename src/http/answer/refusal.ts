/** The standard refusals: 429 and 503 as JSON or as a page, 403 for addresses, 400 for paths. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Decision } from "../../limit/decision.ts";
import { per, spoken } from "../../limit/duration.ts";
import type { Policy } from "../../limit/policy.ts";
import { allowEveryPage, EXPOSE, LEGACY_FIELDS } from "./cors.ts";
import { legacyFields, refusalFields, waitSeconds } from "./fields.ts";
import { page, prefersHtml } from "./page.ts";
import { problem, problemParts, type ResponseParts } from "./problem.ts";
import { decidingRuling, type Ruling } from "./ruling.ts";

const OUT_OF_REACH = {
  status: 503,
  type: "temporary-reduced-capacity",
  title: "Limiter out of reach",
  cause: "Nothing can be counted right now.",
} as const;

/** Each policy's last refusal as JSON, to be sent again: its headers take longest to make. */
const refusals = new WeakMap<Policy, { decision: Decision; parts: ResponseParts }>();

/** Sets the legacy fields of a refusal, before it is made. */
export function writeLegacyFields(c: Context, rulings: readonly Ruling[]): void {
  const { headers } = c.res;
  for (const header of legacyFields(headers, rulings)) headers.set(...header);
  if (headers.has(EXPOSE)) headers.append(EXPOSE, LEGACY_FIELDS);
}

export function refusePath(): Response {
  const detail =
    "The path hides dots or a NUL in an encoding, is too long and odd, or follows an odd host.";
  return problem({ status: 400, title: "Not a valid path", detail });
}

/** Refuses a path at the gate, where every page may read that. */
export function refusePathOf(c: Context): Response {
  allowEveryPage(c);
  return refusePath();
}

/**
 * Answers a request from an address that is on a `deny` list.
 *
 * @param c absent for a call of the API, which has no pages
 */
export function refuseListed(c?: Context): Response | Promise<Response> {
  const detail = "Requests from this address are not answered.";
  const body = { status: 403, title: "Forbidden", detail } as const;
  return c && prefersHtml(c) ? page(c, body) : problem(body);
}

/**
 * Answers a denied request: 429, or 503 if no owner answered and the policy's `onFailure` denies.
 */
export function refuse(c: Context, rulings: readonly Ruling[]): Response | Promise<Response> {
  if (prefersHtml(c)) {
    const { body, headers } = refusalOf(rulings);
    return page(c, body, headers);
  }
  const only = rulings.length === 1 ? rulings[0] : undefined;
  const known = only && refusals.get(only.policy);
  if (known && hasSameText(known.decision, only.decision)) return new Response(...known.parts);
  const { body, headers } = refusalOf(rulings);
  const parts = problemParts(body, headers);
  if (only) refusals.set(only.policy, { decision: only.decision, parts });
  return new Response(...parts);
}

/** Returns true if two decisions of one policy lead to the same refusal. */
function hasSameText(one: Decision, other: Decision): boolean {
  return (
    one.reason === other.reason &&
    one.limit === other.limit &&
    one.remaining === other.remaining &&
    waitSeconds(one) === waitSeconds(other)
  );
}

export function refusalHeaders(rulings: readonly Ruling[]): Record<string, string> {
  return {
    ...refusalFields(rulings),
    "Retry-After": String(waitSeconds(decidingRuling(rulings).decision)),
    // RFC 6585, section 4. A cache would also serve the refusal to a client that may pass again.
    "Cache-Control": "no-store",
  };
}

function refusalOf(rulings: readonly Ruling[]) {
  const { policy, decision } = decidingRuling(rulings);
  const { status, type, title, cause } =
    decision.reason === "failed" ? OUT_OF_REACH : tooMany(policy, decision);
  const headers = { ...refusalHeaders(rulings), Vary: "Accept" };
  const body = {
    type: `https://iana.org/assignments/http-problem-types#${type}`,
    title,
    status,
    detail: `${cause} Try again in ${spoken(waitSeconds(decision) * 1_000)}.`,
    "violated-policies": rulings
      .filter((ruling) => !ruling.decision.allowed)
      .map((ruling) => ruling.policy.name),
  };
  return { body, headers };
}

function tooMany(policy: Policy, { reason, limit }: Decision) {
  const cause = reason === "blocked" ? "This client is blocked for now." : quotaText(policy, limit);
  // A policy may set the status of its refusal and nothing else.
  const status = (policy.refusal?.status ?? 429) as ContentfulStatusCode;
  return { status, type: "quota-exceeded", title: "Too many requests", cause };
}

/** @param limit the policy's, or that of an override */
function quotaText({ algorithm, windowMs }: Policy, limit: number): string {
  if (limit === 0) return "No such request passes for now.";
  if (algorithm === "concurrency") return `${limit} such requests may run at once.`;
  return `The quota is ${limit} ${per(windowMs)}.`;
}
