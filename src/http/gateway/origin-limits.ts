/**
 * RateLimit fields that an answer has already, of an origin with limits of its own.
 *
 * An intermediary may make them stricter, never looser, and to remove them is looser (draft 11,
 * section 7.2). So they stand beside ours, the stricter in front, for clients that read one item.
 * What no client could read is left out, since it would make ours unreadable; older forms are put
 * into the present one. In the legacy fields, which have one value, the stricter one stays.
 */

import type { Header } from "../answer/cors.ts";
import {
  type Fields,
  fieldHeaders,
  POLICY_FIELD,
  QUOTA_FIELD,
  type QuotaHeaders,
  type QuotaState,
  rateLimitFields,
  strictest,
} from "../answer/fields.ts";

interface Item {
  name: string;
  parameters: string;
  /** The parameter that each item must have. */
  units: number;
}

// RFC 9651, sections 3.1 and 3.3.
const STRING = '"(?:[ !#-\\[\\]-~]|\\\\["\\\\])*"';
const NUMBER = "-?(?:\\d{1,12}\\.\\d{1,3}|\\d{1,15})";
const TOKEN = "[A-Za-z*][\\w!#$%&'*+.^`|~:/-]*";
const BYTES = ":(?:[\\w+/]{4})*(?:[\\w+/]{2}==|[\\w+/]{3}=)?:".replaceAll("\\w", "A-Za-z\\d");
const PARAMETER = `; *[a-z*][a-z\\d_.*-]*(?:=(?:${STRING}|${NUMBER}|${TOKEN}|${BYTES}|\\?[01]))?`;
const ITEM = new RegExp(`[ \\t]*(${STRING})((?:${PARAMETER})*)[ \\t]*(?:,|$)`, "y");

/** Drafts 3 to 7: `limit=10, remaining=3, reset=5`, and `10;w=1, 100;w=3600`. */
const OLD_POLICY = /(?:^|,)\s*(\d{1,15})\s*(?:;\s*w=(\d{1,15}))?[^,]*/g;

/** More would be no description of a state. */
const MAX_ITEMS = 32;

/** What an older form, which has no names, is called. */
const UNNAMED = "origin";

const LEGACY = "X-RateLimit";
const LEGACY_FAMILIES = [LEGACY, "RateLimit", "X-Rate-Limit"];

/** With one of these, an answer has legacy fields. */
const LEGACY_SIGNS = LEGACY_FAMILIES.map((family) => `${family}-Remaining`);

/** Numbers above these are no seconds from now, but since the epoch, or milliseconds since then. */
const EPOCH_SECONDS = 1_000_000_000;
const EPOCH_MS = 1_000_000_000_000;

/** Tells of the quota beside what the origin says of its own, and never more loosely than that. */
export const headersBesideOrigin: QuotaHeaders = (headers, rulings, isLegacy) => {
  let fields = rateLimitFields(rulings);
  if (!fields.policies) return [];
  if (headers.has(QUOTA_FIELD) || headers.has(POLICY_FIELD)) fields = mergeFields(headers, fields);
  const changes = fieldHeaders(headers, fields, isLegacy);
  const hasLegacy = isLegacy || LEGACY_SIGNS.some((name) => headers.has(name));
  if (!hasLegacy && !fields.quotas.includes(";r=0;")) return changes;
  const state = strictest(rulings);
  if (!state) return changes;
  if (hasLegacy) changes.push(...legacyHeaders(headers, state, isLegacy, Date.now()));
  const retry = state.remaining === 0 ? laterRetryAfter(headers, state, Date.now()) : undefined;
  if (retry) changes.push(["Retry-After", retry]);
  return changes;
};

/**
 * Returns both fields with what stands in them already.
 *
 * Of two policies that are told alike, name and all, the stricter stands. Of two that have only the
 * name in common, the origin's gets `origin.` in front.
 */
export function mergeFields(headers: Headers, ours: Fields): Fields {
  const quotas = headers.get(QUOTA_FIELD) ?? "";
  const policies = headers.get(POLICY_FIELD) ?? "";
  const theirQuotas = readItems(quotas, "r");
  const theirPolicies = readItems(policies, "q");
  if (theirQuotas.length === 0) theirQuotas.push(...readOldQuota(quotas));
  if (theirPolicies.length === 0) theirPolicies.push(...readOldPolicies(policies, quotas));

  const taken = new Map<string, string>();
  for (const { name, parameters } of readItems(ours.policies, "q")) taken.set(name, parameters);
  const alike = new Set<string>();
  for (const { name, parameters } of theirPolicies) {
    if (taken.get(name) === parameters) alike.add(name);
  }
  const ourQuotas = readItems(ours.quotas, "r").map((own) => {
    const other = theirQuotas.find(({ name }) => name === own.name && alike.has(name));
    return other ? stricterOf(own, other) : own;
  });
  const isStricter = least(theirQuotas) < least(ourQuotas);
  const join = (theirs: readonly Item[], own: readonly Item[]) => {
    const others = theirs
      .filter(({ name }) => !alike.has(name))
      .map((item) => ({ ...item, name: unlike(taken, item.name) }));
    const all = isStricter ? [...others, ...own] : [...own, ...others];
    return all.map(({ name, parameters }) => name + parameters).join(", ");
  };
  return {
    policies: join(theirPolicies, readItems(ours.policies, "q")),
    quotas: join(theirQuotas, ourQuotas),
  };
}

/**
 * Returns the legacy fields that must change so that none is looser than `ours`.
 *
 * @param isWritten whether there must be `X-RateLimit-*` in any case
 * @param nowMs ms since the epoch, since some write the time of the reset, and not the seconds
 */
export function legacyHeaders(
  headers: Headers,
  ours: QuotaState,
  isWritten: boolean,
  nowMs: number,
): Header[] {
  const changes: Header[] = [];
  for (const family of LEGACY_FAMILIES) {
    const isOwn = isWritten && family === LEGACY;
    if (!isOwn && !headers.has(`${family}-Remaining`)) continue;
    for (const [part, stricter] of [
      ["Limit", (theirs: string) => fewer(theirs, ours.quota)],
      ["Remaining", (theirs: string) => fewer(theirs, ours.remaining)],
      ["Reset", (theirs: string) => later(theirs, ours.seconds, nowMs)],
    ] as const) {
      const theirs = headers.get(`${family}-${part}`);
      if (theirs === null && !isOwn) continue;
      // Where ours are asked for, what can't be read is no limit that anybody could keep to.
      const value = stricter(theirs ?? "") ?? (isOwn ? stricter("") : theirs);
      if (value !== theirs) changes.push([`${family}-${part}`, value ?? ""]);
    }
  }
  return changes;
}

/** Returns the `Retry-After` that lets nobody come back too early; undefined if it stays as it is. */
export function laterRetryAfter(headers: Headers, { seconds }: QuotaState, nowMs: number) {
  const theirs = headers.get("Retry-After");
  const value = theirs === null ? null : later(theirs, seconds, nowMs);
  return value === null || value === undefined || value === theirs ? undefined : value;
}

/** Returns the items that have a whole number of units; of others, none. */
function readItems(text: string, parameter: "r" | "q"): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < text.length && items.length < MAX_ITEMS; ) {
    ITEM.lastIndex = at;
    const [whole, name = "", parameters = ""] = ITEM.exec(text) ?? [];
    const units = numberOf(parameters, parameter);
    if (units !== undefined) items.push({ name, parameters, units });
    const comma = text.indexOf(",", at);
    at = whole === undefined ? (comma < 0 ? text.length : comma + 1) : at + whole.length;
  }
  return items;
}

/** The last one counts (RFC 9651, section 4.2.3.2). */
function numberOf(parameters: string, name: string): number | undefined {
  const [, number] = new RegExp(`.*; *${name}=(\\d{1,15})(?![^;])`).exec(parameters) ?? [];
  return number === undefined ? undefined : Number(number);
}

function readOldQuota(text: string): Item[] {
  const remaining = oldNumber(text, "remaining");
  const reset = oldNumber(text, "reset");
  if (remaining === undefined) return [];
  const parameters = `;r=${remaining}${reset === undefined ? "" : `;t=${reset}`}`;
  return [{ name: `"${UNNAMED}"`, parameters, units: remaining }];
}

function readOldPolicies(policies: string, quotas: string): Item[] {
  const limit = oldNumber(quotas, "limit");
  const found = /[="]/.test(policies.replaceAll("w=", ""))
    ? []
    : [...policies.matchAll(OLD_POLICY)].slice(0, MAX_ITEMS);
  if (found.length === 0) {
    return limit === undefined
      ? []
      : [{ name: `"${UNNAMED}"`, parameters: `;q=${limit}`, units: limit }];
  }
  return found.map(([, units = "", window], at) => ({
    name: at === 0 ? `"${UNNAMED}"` : `"${UNNAMED}.${at + 1}"`,
    parameters: `;q=${units}${Number(window) > 0 ? `;w=${window}` : ""}`,
    units: Number(units),
  }));
}

function oldNumber(text: string, name: string): number | undefined {
  const [, number] = new RegExp(`(?:^|,)\\s*${name}=(\\d{1,15})\\s*(?![^,;])`).exec(text) ?? [];
  return number === undefined ? undefined : Number(number);
}

function least(items: readonly Item[]): number {
  return Math.min(...items.map(({ units }) => units));
}

/** Fewer requests, and a longer time until there are more. */
function stricterOf(one: Item, other: Item): Item {
  const units = Math.min(one.units, other.units);
  const seconds = Math.max(...[one, other].map(({ parameters }) => numberOf(parameters, "t") ?? 0));
  return { name: one.name, parameters: `;r=${units};t=${seconds}`, units };
}

function unlike(taken: ReadonlyMap<string, string>, name: string): string {
  let unlike = name;
  while (taken.has(unlike)) unlike = `"${UNNAMED}.${unlike.slice(1)}`;
  return unlike;
}

/** Returns the lesser number; of a list, theirs is the least of it. Undefined for no number. */
function fewer(theirs: string, ours: number): string | undefined {
  if (!theirs) return String(ours);
  const numbers = theirs.split(",").map((part) => Number(/^\s*(\d+)\s*(?:;.*)?$/.exec(part)?.[1]));
  if (numbers.some(Number.isNaN)) return undefined;
  return ours < Math.min(...numbers) ? String(ours) : theirs;
}

/** Returns the later time, in the form of theirs; undefined where that is none. */
function later(theirs: string, seconds: number, nowMs: number): string | undefined {
  if (!theirs) return String(seconds);
  const untilMs = nowMs + seconds * 1_000;
  const number = Number(theirs);
  if (Number.isNaN(number)) {
    const date = Date.parse(theirs);
    if (Number.isNaN(date)) return undefined;
    if (date >= untilMs) return theirs;
    return /^\d{4}-/.test(theirs)
      ? new Date(untilMs).toISOString()
      : new Date(untilMs).toUTCString();
  }
  const unit = number >= EPOCH_MS ? 1 : 1_000;
  const ours = number >= EPOCH_SECONDS ? Math.ceil(untilMs / unit) : seconds;
  return number >= ours ? theirs : String(ours);
}
