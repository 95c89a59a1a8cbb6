/**
 * The RateLimit fields of draft-ietf-httpapi-ratelimit-headers-10 and -11: what each policy allows,
 * and what is left.
 *
 * Seconds are rounded up, so a client that waits as told is never early. Quotas are in requests: at
 * a cost of 5, a fifth of the units. Each `r` is cut to what the other policies let pass within its
 * `t`. So a client may send as many requests at once as the least `r` says.
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

/** The numbers in the legacy fields, of one policy. */
export interface QuotaState {
  /** Requests in a whole quota. */
  quota: number;
  remaining: number;
  /** As `waitSeconds` returns it. */
  seconds: number;
}

/**
 * Returns headers to set on an allowed response. They replace its own of the same names.
 *
 * @param isLegacy whether `X-RateLimit-*` are set too
 */
export type QuotaHeaders = (
  headers: Headers,
  rulings: readonly Ruling[],
  isLegacy: boolean,
) => Header[];

/**
 * Returns the values of both fields for all policies that are enforced; empty texts if there are
 * none. `RateLimit` has no item for a policy whose owner did not answer.
 *
 * @example { policies: '"default";q=10;w=60', quotas: '"default";r=9;t=42' }
 */
export function rateLimitFields(rulings: readonly Ruling[]): Fields {
  let policies = "";
  let quotas = "";
  // `Retry-After` tells a denied client when to come back.
  const isPacing = rulings.length > 1 && rulings.every(({ decision }) => decision.allowed);
  for (const ruling of rulings) {
    const { policy, decision } = ruling;
    if (policy.shadow) continue;
    policies += (policies && ", ") + policyItem(ruling);
    if (decision.reason === "failed") continue;
    const most = isPacing ? maxUntilReset(rulings, ruling) : Number.POSITIVE_INFINITY;
    const item = `"${policy.name}";r=${Math.min(left(ruling), most)};t=${waitSeconds(decision)}`;
    quotas += (quotas && ", ") + item;
  }
  return { policies, quotas };
}

export function refusalFields(rulings: readonly Ruling[]): Record<string, string> {
  const { policies, quotas } = rateLimitFields(rulings);
  return {
    ...(policies && { [POLICY_FIELD]: policies }),
    ...(quotas && { [QUOTA_FIELD]: quotas }),
  };
}

/** Appends the fields to those of a limiter closer to the handler. */
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

/** Returns the fields as headers, and the header that lets pages read them. */
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

/** Returns the legacy fields, unless those of a limiter closer to the handler have less left. */
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

/** Returns the state with the least left, without `concurrency` unless it denied or is alone. */
export function strictest(rulings: readonly Ruling[]): QuotaState | undefined {
  const told = rulings.filter(
    ({ policy, decision }) => !policy.shadow && decision.reason !== "failed",
  );
  const counting = told.filter(
    ({ policy, decision }) => !decision.allowed || policy.algorithm !== "concurrency",
  );
  const states = (counting.length > 0 ? counting : told).map(stateOf);
  states.sort((one, other) => one.remaining - other.remaining || other.seconds - one.seconds);
  return states[0];
}

function stateOf(ruling: Ruling): QuotaState {
  const { policy, decision } = ruling;
  return {
    quota: requests(policy, decision.limit),
    remaining: left(ruling),
    seconds: waitSeconds(decision),
  };
}

/** Returns how many requests like this one could pass right now. */
function left({ policy, decision }: Ruling): number {
  return decision.reason === "blocked" ? 0 : requests(policy, decision.remaining);
}

/** Converts units to requests. Units stay units if the next request may have another cost. */
function requests({ cost, isPriced }: Policy, units: number): number {
  return isPriced ? units : Math.floor(units / cost);
}

/**
 * Returns the most requests that the other policies let pass within this one's `t`. Otherwise,
 * 9,000 left of a day would suggest 900 requests a second in its last ten seconds.
 */
function maxUntilReset(rulings: readonly Ruling[], { policy, decision }: Ruling): number {
  if (policy.algorithm === "concurrency") return Number.POSITIVE_INFINITY;
  let most = Number.POSITIVE_INFINITY;
  for (const other of rulings) {
    if (other.decision.reason === "failed" || !bounds(other.policy, policy)) continue;
    const { windowMs, algorithm } = other.policy;
    const { limit } = other.decision;
    const windows = (waitSeconds(decision) * 1_000) / windowMs;
    // A lower bound: a bucket refills evenly, a window at its end, a sliding window within two.
    const more = algorithm.endsWith("bucket")
      ? requests(other.policy, limit * windows)
      : requests(other.policy, limit) *
        Math.floor(algorithm === "sliding-window" ? windows / 2 : windows);
    most = Math.min(most, left(other) + Math.floor(more));
  }
  return most;
}

/** Returns true if `other` counts every request that `policy` counts, under the same key. */
function bounds(other: Policy, policy: Policy): boolean {
  // Concurrency does not limit how many requests pass in a time.
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

function policyItem({ policy, decision }: Ruling): string {
  const { name, algorithm, windowMs, actual } = policy;
  const unit = actual?.from === "bytes" ? ';qu="content-bytes"' : "";
  const quota = `"${name}";q=${requests(policy, decision.limit)}${unit}`;
  // The draft has a unit for requests in flight, which have no window.
  if (algorithm === "concurrency") return `${quota};qu="concurrent-requests"`;
  return `${quota};w=${seconds(windowMs)}`;
}

/**
 * Returns the seconds for `t` and `Retry-After`, which must agree: until a denied request could
 * pass, else until the quota is whole again.
 */
export function waitSeconds({ retryAfterMs, resetMs }: Decision): number {
  return seconds(retryAfterMs || resetMs);
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
