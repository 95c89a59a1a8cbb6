/**
 * What a client is told: the RateLimit fields on every answer, and the answer to a request that may
 * not pass. The one place that writes either.
 *
 * Fields as in draft-ietf-httpapi-ratelimit-headers-10. Seconds are rounded up, so a client that
 * waits as told is never too early.
 */
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import { html } from "hono/html";
import type { Reply } from "../caller/question.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { formatDuration } from "../limit/duration.ts";
import type { Policy } from "../limit/policy.ts";
import { problem } from "./problem.ts";

const OUT_OF_REACH = {
  status: 503,
  type: "temporary-reduced-capacity",
  title: "Limiter out of reach",
  cause: "Nothing can be counted right now.",
} as const;

/** A decision beside the policy it was made under. */
export interface Ruling {
  policy: Policy;
  decision: Decision;
}

/** Returns the decisions of all replies, each beside its policy. */
export function rulingsOf(replies: readonly Reply[]): Ruling[] {
  return replies.flatMap(({ question, decisions }) =>
    question.policies.map((policy, at) => ({ policy, decision: decisions[at] as Decision })),
  );
}

/** Writes the fields onto the response, beside those of a limiter further in. */
export function writeFields(c: Context, rulings: readonly Ruling[]): void {
  const fields = Object.entries(rateLimitFields(rulings));
  try {
    for (const [name, value] of fields) c.res.headers.append(name, value);
  } catch {
    // What `fetch` gave cannot be written on. Copying each time would cost more than the decision.
    for (const [name, value] of fields) c.header(name, value, { append: true });
  }
}

/** Answers a request from an address that a list refuses. */
export function refuseListed(c: Context): Response | Promise<Response> {
  const title = "Forbidden";
  const detail = "Requests from this address are not answered.";
  if (prefersHtml(c)) return c.html(page(title, detail), 403, { "Cache-Control": "no-store" });
  return problem({ status: 403, title, detail });
}

/**
 * Answers a request that may not pass: 429, or 503 where no owner answered and its policy says
 * deny.
 */
export function refuse(c: Context, rulings: readonly Ruling[]): Response | Promise<Response> {
  const decision = decisive(rulings.map((ruling) => ruling.decision));
  const policy = rulings.find((ruling) => ruling.decision === decision)?.policy as Policy;
  const headers = {
    ...rateLimitFields(rulings),
    "Retry-After": String(wait(decision)),
    // RFC 6585, section 4. A cached denial would also be served past the limiter.
    "Cache-Control": "no-store",
    Vary: "Accept",
  };
  const { status, type, title, cause } =
    decision.reason === "failed" ? OUT_OF_REACH : tooMany(policy, decision);
  const detail = `${cause} Try again in ${wait(decision)} s.`;
  if (prefersHtml(c)) return c.html(page(title, detail), status, headers);
  return problem(
    {
      type: `https://iana.org/assignments/http-problem-types#${type}`,
      title,
      status,
      detail,
      "violated-policies": rulings
        .filter((ruling) => !ruling.decision.allowed)
        .map((ruling) => ruling.policy.name),
    },
    headers,
  );
}

function tooMany({ algorithm, limit, windowMs }: Policy, { reason }: Decision) {
  const quota =
    algorithm === "concurrency"
      ? `${limit} such requests may run at once.`
      : `The quota is ${limit} per ${formatDuration(windowMs)}.`;
  const cause = reason === "blocked" ? "This client is blocked for now." : quota;
  return { status: 429, type: "quota-exceeded", title: "Too many requests", cause } as const;
}

/**
 * Returns `RateLimit-Policy` and `RateLimit` for all policies that were asked and are enforced.
 *
 * A policy whose owner did not answer is left out of `RateLimit`: what is left of it is not known.
 *
 * @example { "RateLimit-Policy": '"default";q=10;w=60', RateLimit: '"default";r=9;t=42' }
 */
function rateLimitFields(rulings: readonly Ruling[]): Record<string, string> {
  const shown = rulings.filter(({ policy }) => !policy.shadow);
  const known = shown.filter(({ decision }) => decision.reason !== "failed");
  const fields: Record<string, string> = {};
  if (shown.length > 0) {
    fields["RateLimit-Policy"] = shown.map(({ policy }) => policyItem(policy)).join(", ");
  }
  if (known.length > 0) {
    fields.RateLimit = known
      .map(({ decision }) => `"${decision.policy}";r=${decision.remaining};t=${wait(decision)}`)
      .join(", ");
  }
  return fields;
}

function policyItem({ name, algorithm, limit, windowMs }: Policy): string {
  // What is in flight is no quota per window, and the draft has a unit for it.
  if (algorithm === "concurrency") return `"${name}";q=${limit};qu="concurrent-requests"`;
  return `"${name}";q=${limit};w=${seconds(windowMs)}`;
}

/** Is it a person's browser that asks? Whoever does not say is a script. */
export function prefersHtml(c: Context): boolean {
  const supports = ["application/json", "application/problem+json", "text/html"];
  return accepts(c, { header: "Accept", supports, default: "application/json" }) === "text/html";
}

/**
 * The seconds for `t` and `Retry-After`, which must agree: until it may pass, else until all is
 * back.
 */
function wait({ retryAfterMs, resetMs }: Decision): number {
  return seconds(retryAfterMs || resetMs);
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}

function page(title: string, text: string) {
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body { font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem; color-scheme: light dark }</style>
<h1>${title}</h1>
<p>${text}
`;
}
