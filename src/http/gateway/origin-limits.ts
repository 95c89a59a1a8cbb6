/**
 * Merges our RateLimit fields with those of an origin that has limits of its own.
 *
 * A proxy may make the fields stricter, never looser, and removing them is looser (draft 11,
 * section 7.2). So both stand side by side, the stricter first, for clients that read one item.
 * Items that cannot be parsed are dropped, since they would make the whole field unreadable. Fields
 * of older drafts are rewritten.
 */
import {
  type Fields,
  fieldHeaders,
  POLICY_FIELD,
  QUOTA_FIELD,
  type QuotaHeaders,
  rateLimitFields,
  strictest,
} from "../answer/fields.ts";
import { hasLegacyFields, laterRetryAfter, legacyHeaders } from "./origin-legacy.ts";

interface Item {
  name: string;
  parameters: string;
  /** Value of `r` or `q`, which each item must have. */
  units: number;
}

// Items of a list, as in RFC 9651, sections 3.1 and 3.3.
const STRING = '"(?:[ !#-\\[\\]-~]|\\\\["\\\\])*"';
const NUMBER = "-?(?:\\d{1,12}\\.\\d{1,3}|\\d{1,15})";
const TOKEN = "[A-Za-z*][\\w!#$%&'*+.^`|~:/-]*";
const BYTES = ":(?:[\\w+/]{4})*(?:[\\w+/]{2}==|[\\w+/]{3}=)?:".replaceAll("\\w", "A-Za-z\\d");
const PARAMETER = `; *[a-z*][a-z\\d_.*-]*(?:=(?:${STRING}|${NUMBER}|${TOKEN}|${BYTES}|\\?[01]))?`;
const ITEM = new RegExp(`[ \\t]*(${STRING})((?:${PARAMETER})*)[ \\t]*(?:,|$)`, "y");

/** Drafts 3 to 7: `limit=10, remaining=3, reset=5`, and `10;w=1, 100;w=3600`. */
const OLD_POLICY = /(?:^|,)\s*(\d{1,15})\s*(?:;\s*w=(\d{1,15}))?[^,]*/g;

/** The most items that are read of one field. */
const MAX_ITEMS = 32;

/** The name of items from older drafts, which have no names. */
const UNNAMED = "origin";

/** Returns the fields, merged with the origin's own. */
export const headersBesideOrigin: QuotaHeaders = (headers, rulings, isLegacy) => {
  let fields = rateLimitFields(rulings);
  if (!fields.policies) return [];
  if (headers.has(QUOTA_FIELD) || headers.has(POLICY_FIELD)) fields = mergeFields(headers, fields);
  const changes = fieldHeaders(headers, fields, isLegacy);
  const hasLegacy = isLegacy || hasLegacyFields(headers);
  if (!hasLegacy && !fields.quotas.includes(";r=0;")) return changes;
  const state = strictest(rulings);
  if (!state) return changes;
  if (hasLegacy) changes.push(...legacyHeaders(headers, state, isLegacy, Date.now()));
  const retry = state.remaining === 0 ? laterRetryAfter(headers, state, Date.now()) : undefined;
  if (retry) changes.push(["Retry-After", retry]);
  return changes;
};

/**
 * Merges both fields with the origin's.
 *
 * Of two equal policies with one name, the stricter quota stands. If two different policies have
 * one name, the origin's gets the prefix `origin.`.
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
  const equal = new Set<string>();
  for (const { name, parameters } of theirPolicies) {
    if (taken.get(name) === parameters) equal.add(name);
  }
  const ourQuotas = readItems(ours.quotas, "r").map((own) => {
    const other = theirQuotas.find(({ name }) => name === own.name && equal.has(name));
    return other ? stricterOf(own, other) : own;
  });
  const isStricter = least(theirQuotas) < least(ourQuotas);
  const join = (theirs: readonly Item[], own: readonly Item[]) => {
    const others = theirs
      .filter(({ name }) => !equal.has(name))
      .map((item) => ({ ...item, name: unusedName(taken, item.name) }));
    const all = isStricter ? [...others, ...own] : [...own, ...others];
    return all.map(({ name, parameters }) => name + parameters).join(", ");
  };
  return {
    policies: join(theirPolicies, readItems(ours.policies, "q")),
    quotas: join(theirQuotas, ourQuotas),
  };
}

/** Returns the items whose `parameter` is a whole number. */
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

/** Returns a parameter's number. Of several, the last counts (RFC 9651, section 4.2.3.2). */
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

/** Returns an item with the fewer requests and the longer time of both. */
function stricterOf(one: Item, other: Item): Item {
  const units = Math.min(one.units, other.units);
  const seconds = Math.max(...[one, other].map(({ parameters }) => numberOf(parameters, "t") ?? 0));
  return { name: one.name, parameters: `;r=${units};t=${seconds}`, units };
}

function unusedName(taken: ReadonlyMap<string, string>, name: string): string {
  let unused = name;
  while (taken.has(unused)) unused = `"${UNNAMED}.${unused.slice(1)}`;
  return unused;
}
