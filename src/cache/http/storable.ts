/**
 * Whether a shared cache may store a response, and how long it may serve it (RFC 9111, sections 3
 * and 4.2; RFC 5861). Pure: a time is an argument.
 *
 * The response's own fields decide. Nothing is guessed from `Last-Modified`: a response without
 * explicit freshness is stored only for the `ttl` of the options.
 */
import {
  type Directives,
  fieldsIn,
  millisecondsOf,
  parseCacheControl,
  responseDirectives,
  secondsOf,
} from "./cache-control.ts";
import { parseHttpDate } from "./http-date.ts";

/** How long a response may be used. Times count from the moment when it was stored. */
export interface Life {
  /** Its age when it was stored, by `Age`, `Date` and the time that the handler took. */
  initialAgeMs: number;
  /** The age at which it becomes stale. */
  lifetimeMs: number;
  /** How long a stale response may be served while another is fetched. */
  staleMs: number;
  /** How long a stale response may be served in place of an error. */
  staleOnErrorMs: number;
  /** Whether the handler has to confirm it before each use, as `no-cache` says. */
  isValidatedAlways: boolean;
  /** Whether it is never served stale, not even to a client that accepts it. */
  isNeverStale: boolean;
}

export interface Storable extends Life {
  /** Names in lower case of fields that are not stored. */
  omitted: ReadonlySet<string>;
}

/** Why a response is not stored; the `detail` of `Cache-Status`. */
export type Reason =
  | "no-store"
  | "private"
  | "authorization"
  | "set-cookie"
  | "vary"
  | "status"
  | "no-freshness"
  | "error"
  | "encoding"
  | "stream"
  | "too-large";

export interface Defaults {
  /** How long a response without explicit freshness is fresh; 0 for not at all. */
  ttlMs: number;
  /** How long a response may be served stale, unless it says so itself. */
  staleForMs: number;
}

/** When the handler was asked and when it answered, by the clock of the isolate that asked. */
export interface Times {
  askedMs: number;
  receivedMs: number;
}

/** Statuses that may be stored without explicit freshness (RFC 9110, section 15.1), but for 206. */
const CACHEABLE_BY_DEFAULT = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
/** Statuses whose rules of caching are implemented here, as `must-understand` demands. */
const UNDERSTOOD = [...CACHEABLE_BY_DEFAULT, 302, 303, 307, 400, 403, 500, 502, 503, 504];
/** Statuses about a part, or about the client's copy, of a representation. */
const NEVER_STORED = [206, 304];

/** Content codings of responses that may be stored. Gzip is stored decoded. */
const STORED_CODINGS = [undefined, "gzip"];

/** Fields that belong to one connection (RFC 9111, section 3.1; RFC 9110, section 7.6.1). */
const HOP_BY_HOP = [
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"],
  ...["upgrade", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization"],
];

/** What one client has left of its quota: fields that a limiter behind the cache has set. */
const QUOTA_FIELDS = [
  "ratelimit",
  "ratelimit-policy",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
];

/** Returns how long a stored response may be used, or why it may not be stored. */
export function storable(
  request: Headers,
  status: number,
  response: Headers,
  { askedMs, receivedMs }: Times,
  { ttlMs, staleForMs }: Defaults,
): Storable | Reason {
  const directives = responseDirectives(response);
  const isUnderstood = directives.has("must-understand") && UNDERSTOOD.includes(status);
  if (directives.has("no-store") && !isUnderstood) return "no-store";
  if (parseCacheControl(request.get("Cache-Control")).has("no-store")) return "no-store";
  if (directives.get("private") === "") return "private";
  if (request.has("Authorization") && !allowsAuthorized(directives)) return "authorization";
  if (NEVER_STORED.includes(status) || status < 200 || status > 599) return "status";

  const omitted = omittedFields(response, directives);
  // A cookie is meant for one client. If a directive names the field, the rest is stored without
  // it.
  if (response.has("Set-Cookie") && !omitted.has("set-cookie")) return "set-cookie";
  if (fieldsIn(response.get("Vary") ?? "").includes("*")) return "vary";
  // A client that can't read another coding would get it, too. And the runtime may or may not have
  // decoded Brotli: nothing shows which.
  if (!STORED_CODINGS.includes(response.get("Content-Encoding")?.toLowerCase())) return "encoding";
  if (response.get("Content-Type")?.startsWith("text/event-stream")) return "stream";

  const isDefault = CACHEABLE_BY_DEFAULT.includes(status) || directives.has("public");
  const given = explicitLifetime(directives, response, receivedMs);
  const lifetimeMs = given ?? (isDefault && ttlMs > 0 ? ttlMs : undefined);
  const isValidatedAlways = directives.get("no-cache") === "";
  if (lifetimeMs === undefined && !isValidatedAlways) return isDefault ? "no-freshness" : "status";
  const initialAgeMs = initialAge(response, { askedMs, receivedMs });
  // A response that is never fresh is not served without the handler, unless it allows that itself.
  const isOnceFresh = (lifetimeMs ?? 0) > initialAgeMs;
  const life: Life = {
    initialAgeMs,
    lifetimeMs: lifetimeMs ?? 0,
    isValidatedAlways,
    ...staleness(directives, isOnceFresh ? staleForMs : 0),
  };
  const isUsable = life.lifetimeMs + life.staleMs > life.initialAgeMs && !isValidatedAlways;
  const hasValidator = response.has("ETag") || response.has("Last-Modified");
  return isUsable || hasValidator ? { ...life, omitted } : "no-freshness";
}

/** Returns true if responses to requests with `Authorization` may be stored (section 3.5). */
function allowsAuthorized(directives: Directives): boolean {
  return ["public", "s-maxage", "must-revalidate"].some((name) => directives.has(name));
}

function omittedFields(response: Headers, directives: Directives): ReadonlySet<string> {
  return new Set([
    ...HOP_BY_HOP,
    ...QUOTA_FIELDS,
    ...fieldsIn(response.get("Connection") ?? ""),
    ...fieldsIn(directives.get("private") ?? ""),
    ...fieldsIn(directives.get("no-cache") ?? ""),
    // These two are set anew for each request.
    ...["age", "content-length"],
  ]);
}

/** Returns the explicit freshness lifetime (section 4.2.1). An invalid one counts as stale. */
function explicitLifetime(
  directives: Directives,
  response: Headers,
  receivedMs: number,
): number | undefined {
  const given = millisecondsOf(directives, "s-maxage") ?? millisecondsOf(directives, "max-age");
  if (given !== undefined) return Number.isNaN(given) ? 0 : given;
  const expires = response.get("Expires");
  if (expires === null || response.has("CDN-Cache-Control")) return undefined;
  const expiresMs = parseHttpDate(expires, receivedMs);
  const dateMs = parseHttpDate(response.get("Date") ?? "", receivedMs) ?? receivedMs;
  return expiresMs === undefined ? 0 : Math.max(0, expiresMs - dateMs);
}

/** Returns the "corrected_initial_age" of section 4.2.3. */
function initialAge(response: Headers, { askedMs, receivedMs }: Times): number {
  const dateMs = parseHttpDate(response.get("Date") ?? "", receivedMs);
  const apparentMs = dateMs === undefined ? 0 : Math.max(0, receivedMs - dateMs);
  const [first = ""] = (response.get("Age") ?? "").split(",");
  const toldMs = (secondsOf(first.trim()) ?? 0) * 1_000;
  return Math.max(apparentMs, toldMs + (receivedMs - askedMs));
}

/**
 * Returns how long a response may be served stale (section 4.2.4, and RFC 5861).
 *
 * `s-maxage` alone forbids stale answers, too. But many frameworks write `stale-while-revalidate`
 * beside it, which then counts.
 */
function staleness(directives: Directives, staleForMs: number) {
  const isNeverStale = ["must-revalidate", "proxy-revalidate", "no-cache"].some(
    (name) => directives.has(name) && (name !== "no-cache" || directives.get(name) === ""),
  );
  if (isNeverStale) return { staleMs: 0, staleOnErrorMs: 0, isNeverStale };
  const isShared = directives.has("s-maxage");
  const otherwiseMs = isShared ? 0 : staleForMs;
  const staleMs = millisecondsOf(directives, "stale-while-revalidate") ?? otherwiseMs;
  const staleOnErrorMs = millisecondsOf(directives, "stale-if-error") ?? otherwiseMs;
  return {
    staleMs: Number.isNaN(staleMs) ? 0 : staleMs,
    staleOnErrorMs: Number.isNaN(staleOnErrorMs) ? 0 : staleOnErrorMs,
    isNeverStale: isShared,
  };
}
