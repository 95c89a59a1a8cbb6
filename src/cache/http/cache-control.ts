/**
 * Reads `Cache-Control` (RFC 9111, section 5.2) of requests and responses, and `CDN-Cache-Control`
 * (RFC 9213), which wins over it. Pure.
 */

/** Directives by their names in lower case. One without a value has the value `""`. */
export type Directives = ReadonlyMap<string, string>;

/** A greater number counts as this one (RFC 9111, section 1.2.2). */
const MAX_DELTA_SECONDS = 2 ** 31;

/** One directive, and any text behind it up to the comma, which no grammar allows. */
const DIRECTIVE = /([^\s,="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?([^,]*)/g;

/** A member of a structured dictionary; a list or parameters would mean nothing here. */
const MEMBER = /^([a-z*][a-z0-9_.*-]*)(?:=(\d{1,15}|[A-Za-z*][^\s,;"]*|"[^",\\]*"|\?1))?$/;

/** Returns the directives for a shared cache that the response's author runs. */
export function responseDirectives(response: Headers): Directives {
  return (
    targeted(response.get("CDN-Cache-Control")) ?? parseCacheControl(response.get("Cache-Control"))
  );
}

/** Returns undefined for a field that is no structured dictionary, which is to be ignored. */
function targeted(field: string | null): Directives | undefined {
  if (field === null) return undefined;
  const directives = new Map<string, string>();
  for (const part of field.split(",")) {
    const [, name, value = ""] = MEMBER.exec(part.trim()) ?? [];
    if (name === undefined) return undefined;
    directives.set(name, value === "?1" ? "" : value);
  }
  return directives;
}

/** Returns the directives. Of several with one name, the first counts (section 4.2.1). */
export function parseCacheControl(field: string | null): Directives {
  const directives = new Map<string, string>();
  for (const [, name = "", quoted, token = "", rest = ""] of (field ?? "").matchAll(DIRECTIVE)) {
    const key = name.toLowerCase();
    const value = quoted?.replace(/\\(.)/g, "$1") ?? token;
    // Text behind a value makes it invalid, so the text is kept.
    if (!directives.has(key)) directives.set(key, rest.trim() === "" ? value : `${value}${rest}`);
  }
  return directives;
}

/**
 * Returns a directive's value in milliseconds; undefined without the directive; NaN for a value
 * that is no number of seconds.
 */
export function millisecondsOf(directives: Directives, name: string): number | undefined {
  const value = directives.get(name);
  return value === undefined ? undefined : (secondsOf(value) ?? Number.NaN) * 1_000;
}

/** Returns whole seconds (section 1.2.2); undefined for any other text. */
export function secondsOf(text: string): number | undefined {
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_DELTA_SECONDS) : undefined;
}

/** Returns the fields that `no-cache="…"` or `private="…"` names, in lower case. */
export function fieldsIn(value: string): string[] {
  return value
    .toLowerCase()
    .split(",")
    .map((name) => name.replaceAll('"', "").trim())
    .filter((name) => name !== "");
}
