/** How the HTTP endpoint of a limiter is asked, and where its answer says what. */
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { parse } from "../../limit/misuse.ts";
import type { VectorCheck, VectorDecision } from "../../testing/index.ts";
import { named } from "../user-error.ts";

const textSchema = v.string("must be text");
const rule = 'must be a path into the answer\'s JSON such as "data.left", or "header:NAME"';
const placeSchema = v.optional(v.pipe(v.string(rule), v.minLength(1, rule)));

const mappingSchema = v.strictObject(
  {
    /** Default `POST`. */
    method: v.optional(textSchema, "POST"),
    /** Behind `--url`. `{key}`, `{limit}` and the other fields of a check may stand in it. */
    path: v.optional(textSchema, ""),
    headers: v.optional(v.record(textSchema, textSchema), {}),
    /** Sent as JSON. A text that is only `{limit}` becomes a number. Default none. */
    body: v.optional(v.unknown()),
    /** Where the answer says whether it passes; default by status: 429 and 503 are denials. */
    allowed: placeSchema,
    remaining: placeSchema,
    /** Milliseconds; in a header, seconds. */
    retryAfterMs: placeSchema,
  },
  "must be an object",
);

export type Mapping = v.InferOutput<typeof mappingSchema>;

const HEADER = "header:";
const DENIALS = [429, 503];
/** `{key}`, `{limit}`, `{cost}`, … */
const PLACEHOLDER = /\{(\w+)\}/g;

/**
 * Reads a mapping from a file of JSON.
 *
 * @throws {UserError} if it cannot be read
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function readMapping(file: string): Mapping {
  const input: unknown = named(`--mapping ${file}`, () => JSON.parse(readFileSync(file, "utf8")));
  return parse(mappingSchema, input, "mapping");
}

/**
 * Returns the request for a check.
 *
 * @throws {UserError} if a mapping asks for what no request can have, such as a GET with a body
 */
export function requestFor(url: string, mapping: Mapping, check: VectorCheck): Request {
  const { method, path, headers, body } = mapping;
  const filled = body === undefined ? null : JSON.stringify(fill(body, check));
  const json = filled === null ? {} : { "Content-Type": "application/json" };
  const init = {
    method,
    headers: { ...json, ...(fill(headers, check) as Record<string, string>) },
    body: filled,
  };
  const target = url.replace(/\/$/, "") + String(fill(path, check));
  return named("--mapping", () => new Request(target, init));
}

/** Returns true if a mapping reads the JSON of an answer. */
export function readsJson({ allowed, remaining, retryAfterMs }: Mapping): boolean {
  return [allowed, remaining, retryAfterMs].some((place) => place && !place.startsWith(HEADER));
}

/** Reads what a limiter answered. */
export function decisionIn(
  { allowed, remaining, retryAfterMs }: Mapping,
  { status, headers }: Pick<Response, "status" | "headers">,
  json: unknown,
): VectorDecision {
  const at = (place: string | undefined) => {
    if (place === undefined) return undefined;
    if (place.startsWith(HEADER)) return headers.get(place.slice(HEADER.length)) ?? undefined;
    return place.split(".").reduce<unknown>((value, name) => Object(value)[name], json);
  };
  const waited = numberIn(at(retryAfterMs));
  const unitMs = retryAfterMs?.startsWith(HEADER) ? 1_000 : 1;
  return {
    allowed: allowed === undefined ? !DENIALS.includes(status) : at(allowed) === true,
    remaining: numberIn(at(remaining)),
    retryAfterMs: waited === undefined ? undefined : waited * unitMs,
  };
}

function numberIn(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** Puts the fields of a check into the texts of a mapping. A field that the check lacks goes. */
function fill(value: unknown, check: VectorCheck): unknown {
  const fields: Record<string, unknown> = { ...check };
  if (typeof value === "string") {
    const [, only] = /^\{(\w+)\}$/.exec(value) ?? [];
    if (only !== undefined) return fields[only];
    return value.replace(PLACEHOLDER, (_, name: string) => encodeURIComponent(`${fields[name]}`));
  }
  if (Array.isArray(value)) return value.map((each) => fill(each, check));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, fill(each, check)]));
}
