/**
 * How a stored response may be used, at its age and for a request (RFC 9111, section 4). Pure.
 */
import { type Directives, millisecondsOf } from "./cache-control.ts";
import type { Life } from "./storable.ts";

/**
 * - `fresh`: serve it
 * - `stale`: serve it, and fetch another meanwhile
 * - `old`: fetch another first, once for all requests that wait
 * - `validate`: have the handler confirm it for each request
 */
export type Use = "fresh" | "stale" | "old" | "validate";

/** Returns how long a response is still fresh; negative when it is stale. */
export function ttlOf(life: Life, residentMs: number): number {
  return life.lifetimeMs - life.initialAgeMs - residentMs;
}

/**
 * @param residentMs how long ago the response was stored
 * @param asked what the request's `Cache-Control` says
 * @param mayRefresh whether the client may ask for a newer answer than one that is fresh
 */
export function useOf(life: Life, residentMs: number, asked: Directives, mayRefresh: boolean): Use {
  const ttlMs = ttlOf(life, residentMs);
  if (life.isValidatedAlways) return "validate";
  if (mayRefresh && asksForNewer(ttlMs, life.initialAgeMs + residentMs, asked)) return "old";
  if (ttlMs > 0) return "fresh";
  if (-ttlMs < life.staleMs || acceptsStale(life, -ttlMs, asked)) return "stale";
  // A response that never was fresh will have a successor that is not, either: no request should
  // wait for another's.
  return life.lifetimeMs <= life.initialAgeMs ? "validate" : "old";
}

/** Returns true if a response may be served in place of an error. */
export function isUsableOnError(life: Life, residentMs: number): boolean {
  return !life.isValidatedAlways && -ttlOf(life, residentMs) < life.staleOnErrorMs;
}

function asksForNewer(ttlMs: number, ageMs: number, asked: Directives): boolean {
  if (asked.has("no-cache") || asked.has("no-store")) return true;
  // An invalid number compares as false: it asks for nothing.
  const maxAgeMs = millisecondsOf(asked, "max-age");
  if (maxAgeMs !== undefined && ageMs >= maxAgeMs && !asked.has("max-stale")) return true;
  const minFreshMs = millisecondsOf(asked, "min-fresh");
  return minFreshMs !== undefined && ttlMs < minFreshMs;
}

function acceptsStale(life: Life, staleMs: number, asked: Directives): boolean {
  if (life.isNeverStale || !asked.has("max-stale")) return false;
  return asked.get("max-stale") === "" || staleMs <= (millisecondsOf(asked, "max-stale") as number);
}
