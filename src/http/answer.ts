/**
 * What a client is told: the RateLimit fields on every answer, and the answer to a request that may
 * not pass.
 */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Reply } from "../caller/question.ts";
import { type Decision, decisive } from "../limit/decision.ts";
import { formatDuration } from "../limit/duration.ts";
import type { Policy } from "../limit/policy.ts";
import { EXPOSE, type Header, LEGACY_FIELDS } from "./cors.ts";
import { legacyFields, type Ruling, refusalFields, wait } from "./fields.ts";
import { problem, problemParts, type ResponseParts } from "./problem.ts";

/** Statuses of responses without a body (Fetch standard, "null body status"). */
const BODILESS = [101, 204, 205, 304];

const OUT_OF_REACH = {
  status: 503,
  type: "temporary-reduced-capacity",
  title: "Limiter out of reach",
  cause: "Nothing can be counted right now.",
} as const;

/** A page that refuses has nothing but its own style. */
const PAGE_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** The media ranges that name what an answer may be: a page, or JSON. */
const FORM = /^text\/(?:html|\*)$|^application\/(?:json|problem\+json|\*)$/;

const MAX_ACCEPT_CHARS = 1_024;
/** A media range and its weight (RFC 9110, section 12.5.1). */
const RANGE = /^\s*([^\s;]+)(?:.*;\s*q\s*=\s*([\d.]+))?/i;

/** Of each policy the last refusal under it alone, and the decision that it tells of. */
const refusals = new WeakMap<Policy, { decision: Decision; parts: ResponseParts }>();

export type { Ruling } from "./fields.ts";

/** Returns the decision that each policy made. */
export function rulingsOf(replies: readonly Reply[]): Ruling[] {
  const rulings: Ruling[] = [];
  for (const { question, decisions } of replies) {
    for (let at = 0; at < decisions.length; at++) {
      const policy = question.policies[at] as Policy;
      const decision = decisions[at] as Decision;
      // One policy may have decided on several keys of a request.
      const known = replies.length > 1 && rulings.find((ruling) => ruling.policy === policy);
      if (known) known.decision = decisive([known.decision, decision]);
      else rulings.push({ policy, decision });
    }
  }
  return rulings;
}

/**
 * Can code make a response like this one? Not of a status outside 200 to 599, which an origin may
 * send all the same, nor with a body where the status has none.
 */
export function isCopyable({ status, body, webSocket }: Response): boolean {
  if (webSocket) return true;
  return status >= 200 && status <= 599 && (body === null || !BODILESS.includes(status));
}

/** Writes headers onto the response. Leaves one that cannot be written on as it is. */
export function writeFields(c: Context, fields: readonly Header[]): void {
  const [first, ...others] = fields;
  if (!first) return;
  try {
    c.res.headers.set(...first);
  } catch {
    // What `fetch` gave cannot be written on. Hono makes a copy.
    if (!isCopyable(c.res)) return;
    c.header(...first);
  }
  for (const header of others) c.res.headers.set(...header);
}

/** Sets the legacy fields of a refusal, before it is made. */
export function writeLegacyFields(c: Context, rulings: readonly Ruling[]): void {
  const { headers } = c.res;
  for (const header of legacyFields(headers, rulings)) headers.set(...header);
  if (headers.has(EXPOSE)) headers.append(EXPOSE, LEGACY_FIELDS);
}

/** Answers a request whose path is refused. */
export function refusePath(): Response {
  const detail =
    "The path hides dots or a NUL in an encoding, is too long and odd, or follows an odd host.";
  return problem({ status: 400, title: "Not a valid path", detail });
}

/** Answers a request from an address that a list refuses. */
export function refuseListed(c: Context): Response | Promise<Response> {
  const detail = "Requests from this address are not answered.";
  const body = { status: 403, title: "Forbidden", detail } as const;
  return prefersHtml(c) ? page(c, body) : problem(body);
}

/**
 * Answers a request that may not pass: 429, or 503 where no owner answered and its policy says
 * deny.
 */
export function refuse(c: Context, rulings: readonly Ruling[]): Response | Promise<Response> {
  if (prefersHtml(c)) {
    const { body, headers } = refusalOf(rulings);
    return page(c, body, headers);
  }
  return new Response(...refusalParts(rulings));
}

/** Returns the answer to a client that wants no page. It is remembered: its headers take longest to make. */
function refusalParts(rulings: readonly Ruling[]): ResponseParts {
  const only = rulings.length === 1 ? rulings[0] : undefined;
  const known = only && refusals.get(only.policy);
  if (known && readAlike(known.decision, only.decision)) return known.parts;
  const { body, headers } = refusalOf(rulings);
  const parts = problemParts(body, headers);
  if (only) refusals.set(only.policy, { decision: only.decision, parts });
  return parts;
}

/** Is the same written of both, under one policy? */
function readAlike(one: Decision, other: Decision): boolean {
  return (
    one.reason === other.reason && one.remaining === other.remaining && wait(one) === wait(other)
  );
}

/** The ruling that decides among those of several policies on one request. */
export function deciding(rulings: readonly Ruling[]): Ruling {
  const decision = decisive(rulings.map((ruling) => ruling.decision));
  return rulings.find((ruling) => ruling.decision === decision) as Ruling;
}

/** What every refusal has in its header, whatever else it says. */
export function refusalHeaders(rulings: readonly Ruling[]): Record<string, string> {
  return {
    ...refusalFields(rulings),
    "Retry-After": String(wait(deciding(rulings).decision)),
    // RFC 6585, section 4. A cached denial would also be served past the limiter.
    "Cache-Control": "no-store",
  };
}

function refusalOf(rulings: readonly Ruling[]) {
  const { policy, decision } = deciding(rulings);
  const { status, type, title, cause } =
    decision.reason === "failed" ? OUT_OF_REACH : tooMany(policy, decision);
  const headers = { ...refusalHeaders(rulings), Vary: "Accept" };
  const body = {
    type: `https://iana.org/assignments/http-problem-types#${type}`,
    title,
    status,
    detail: `${cause} Try again in ${wait(decision)} s.`,
    "violated-policies": rulings
      .filter((ruling) => !ruling.decision.allowed)
      .map((ruling) => ruling.policy.name),
  };
  return { body, headers };
}

function tooMany(policy: Policy, { reason }: Decision) {
  const cause = reason === "blocked" ? "This client is blocked for now." : quotaText(policy);
  // A policy's own status may be all that it says of a refusal.
  const status = (policy.refusal?.status ?? 429) as ContentfulStatusCode;
  return { status, type: "quota-exceeded", title: "Too many requests", cause };
}

function quotaText({ algorithm, limit, windowMs }: Policy): string {
  if (limit === 0) return "No such request passes for now.";
  if (algorithm === "concurrency") return `${limit} such requests may run at once.`;
  return `The quota is ${limit} per ${formatDuration(windowMs)}.`;
}

/**
 * Is it a person's browser that asks? A client that names no form is a script. No browser writes a
 * long list, and each entry takes time.
 */
export function prefersHtml(c: Context): boolean {
  const accept = c.req.header("Accept") ?? "";
  if (accept.length > MAX_ACCEPT_CHARS) return false;
  let preferred = "";
  let most = 0;
  for (const entry of accept.toLowerCase().split(",")) {
    const [, range = "", weight = 1] = RANGE.exec(entry) ?? [];
    if (!FORM.test(range) || !(Number(weight) > most)) continue;
    preferred = range;
    most = Number(weight);
  }
  return preferred.startsWith("text/");
}

/** Answers with a page. All of its text is ours: what a client wrote would have to be escaped. */
function page(
  c: Context,
  { status, title, detail }: { status: ContentfulStatusCode; title: string; detail: string },
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  const text = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body { font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem; color-scheme: light dark }</style>
<h1>${title}</h1>
<p>${detail}
`;
  return c.html(text, status, { ...PAGE_HEADERS, ...headers });
}
