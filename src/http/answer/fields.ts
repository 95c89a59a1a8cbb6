/**
 * The RateLimit fields, as in draft-ietf-httpapi-ratelimit-headers-10 and -11: what each policy
 * allows, and what is left of it.
 *
 * Seconds are rounded up, so a client that waits as told is never too early. Units are requests:
 * where each costs 5, a fifth of the quota is shown. A client that takes the least `r` may send that
 * many at once, and no item tells of more than another policy lets pass within its `t`.
 */
import type { Decision } from "../../limit/decision.ts";
import type { Policy } from "../../limit/policy.ts";
import { exposeHeader, type Header } from "./cors.ts";
import type { Ruling } from "./ruling.ts";

export const POLICY_FIELD = "RateLimit-Policy";
export const QUOTA_FIELD = "RateLimit";

/** The values of both fields. */
export interface Fields {
  policies: string;
  quotas: string;
}

/** What is told of one policy in legacy fields. */
export interface QuotaState {
  /** Requests in a whole quota. */
  quota: number;
  /** Requests that are left. */
  remaining: number;
  /** Seconds until one may pass again; where one may, until all are back. */
  seconds: number;
}

/**
 * Returns the headers to write onto an answer that passed, in the place of those that it has.
 *
 * @param isLegacy whether `X-RateLimit-*` are written too
 */
export type QuotaHeaders = (
  headers: Headers,
  rulings: readonly Ruling[],
  isLegacy: boolean,
) => Header[];

/**
 * Returns the values of both fields for all policies that were asked and are enforced; empty texts
 * where there are none.
 *
 * A policy whose owner did not answer is left out of `RateLimit`: what is left of it is not known.
 *
 * @example { policies: '"default";q=10;w=60', quotas: '"default";r=9;t=42' }
 */
export function rateLimitFields(rulings: readonly Ruling[]): Fields {
  let policies = "";
  let quotas = "";
  // A client that is denied is told by `Retry-After` when to come back.
  const isPacing = rulings.length > 1 && rulings.every(({ decision }) => decision.allowed);
  for (const ruling of rulings) {
    const { policy, decision } = ruling;
    if (policy.shadow) continue;
    policies += (policies && ", ") + policyItem(policy);
    if (decision.reason === "failed") continue;
    const most = isPacing ? maxUntilReset(rulings, ruling) : Number.POSITIVE_INFINITY;
    const item = `"${policy.name}";r=${Math.min(left(ruling), most)};t=${waitSeconds(decision)}`;
    quotas += (quotas && ", ") + item;
  }
  return { policies, quotas };
}

/** The headers of a refusal that tell of the quota. */
export function refusalFields(rulings: readonly Ruling[]): Record<string, string> {
  const { policies, quotas } = rateLimitFields(rulings);
  return {
    ...(policies && { [POLICY_FIELD]: policies }),
    ...(quotas && { [QUOTA_FIELD]: quotas }),
  };
}

/** Tells of the quota beside what a limiter further in has told already. */
export const headersBesideInner: QuotaHeaders = (headers, rulings, isLegacy) => {
  const { policies, quotas } = rateLimitFields(rulings);
  if (!policies) return [];
  const beside = (value: string, name: string) => {
    const before = headers.get(name);
    return value && before ? `${before}, ${value}` : value;
  };
  const fields = { policies: beside(policies, POLICY_FIELD), quotas: beside(quotas, QUOTA_FIELD) };
  const told = fieldHeaders(headers, fields, isLegacy);
  return isLegacy ? [...told, ...legacyFields(headers, rulings)] : told;
};

/** The headers that have the fields in them, and the one that lets pages read these. */
export function fieldHeaders(
  headers: Headers,
  { policies, quotas }: Fields,
  isLegacy: boolean,
): Header[] {
  const told: Header[] = [[POLICY_FIELD, policies]];
  if (quotas) told.push([QUOTA_FIELD, quotas]);
  const exposure = exposeHeader(headers, isLegacy);
  if (exposure) told.push(exposure);
  return told;
}

/** Returns the legacy fields, unless a limiter further in has told of less. */
export function legacyFields(headers: Headers, rulings: readonly Ruling[]): Header[] {
  const state = strictest(rulings);
  const before = headers.get("X-RateLimit-Remaining");
  if (!state || (before !== null && Number(before) < state.remaining)) return [];
  const { quota, remaining, seconds } = state;
  return [
    ["X-RateLimit-Limit", `${quota}`],
    ["X-RateLimit-Remaining", `${remaining}`],
    ["X-RateLimit-Reset", `${seconds}`],
  ];
}

/** Of the policies the one that has least, or denied; what is in flight is no quota over time. */
export function strictest(rulings: readonly Ruling[]): QuotaState | undefined {
  const told = rulings.filter(
    ({ policy, decision }) => !policy.shadow && decision.reason !== "failed",
  );
  const counting = told.filter(
    ({ policy, decision }) => !decision.allowed || policy.algorithm !== "concurrency",
  );
  const services = (counting.length > 0 ? counting : told).map(stateOf);
  services.sort((one, other) => one.remaining - other.remaining || other.seconds - one.seconds);
  return services[0];
}

function stateOf(ruling: Ruling): QuotaState {
  const { policy, decision } = ruling;
  return {
    quota: requests(policy, policy.limit),
    remaining: left(ruling),
    seconds: waitSeconds(decision),
  };
}

/** Requests of this kind that could pass right now. */
function left({ policy, decision }: Ruling): number {
  // What a blocked client has left it can't spend.
  return decision.reason === "blocked" ? 0 : requests(policy, decision.remaining);
}

/** A price that a function gives may be another for the next request. */
function requests({ cost, isPriced }: Policy, units: number): number {
  return isPriced ? units : Math.floor(units / cost);
}

/**
 * The most that the other policies let pass until this one's `t` is over. Without it, 9,000 left of
 * the day would in its last ten seconds invite to 900 a second, though another policy forbids that.
 */
function maxUntilReset(rulings: readonly Ruling[], { policy, decision }: Ruling): number {
  if (policy.algorithm === "concurrency") return Number.POSITIVE_INFINITY;
  let most = Number.POSITIVE_INFINITY;
  for (const other of rulings) {
    if (other.decision.reason === "failed" || !bounds(other.policy, policy)) continue;
    const { limit, windowMs, algorithm } = other.policy;
    const windows = (waitSeconds(decision) * 1_000) / windowMs;
    // What is certain: a bucket gives back bit by bit, and the rest after a window, but a sliding
    // window weighs what was spent for up to two.
    const more = algorithm.endsWith("bucket")
      ? requests(other.policy, limit * windows)
      : requests(other.policy, limit) *
        Math.floor(algorithm === "sliding-window" ? windows / 2 : windows);
    most = Math.min(most, left(other) + Math.floor(more));
  }
  return most;
}

/** Does all that one policy counts count under the other too, for the same client? */
function bounds(other: Policy, policy: Policy): boolean {
  // What is in flight has no pace.
  if (other === policy || other.shadow || other.algorithm === "concurrency") return false;
  const isWider = other.path === "/*" || String(other.path) === String(policy.path);
  return (
    isWider &&
    (!other.method || String(other.method) === String(policy.method)) &&
    (other.except.length === 0 || String(other.except) === String(policy.except)) &&
    String(other.key) === String(policy.key) &&
    other.scope === policy.scope
  );
}

function policyItem(policy: Policy): string {
  const { name, algorithm, limit, windowMs } = policy;
  const quota = `"${name}";q=${requests(policy, limit)}`;
  // What is in flight is no quota per window, and the draft has a unit for it.
  if (algorithm === "concurrency") return `${quota};qu="concurrent-requests"`;
  return `${quota};w=${seconds(windowMs)}`;
}

/**
 * The seconds for `t` and `Retry-After`, which must agree: until it may pass, else until all is
 * back.
 */
export function waitSeconds({ retryAfterMs, resetMs }: Decision): number {
  return seconds(retryAfterMs || resetMs);
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
