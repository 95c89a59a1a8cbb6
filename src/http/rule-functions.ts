/**
 * Calls the functions that stand for a policy's fields, for one request.
 *
 * The app's author wrote them, so their mistakes go to the log, and never to the client.
 */
import type { Context } from "hono";
import type { Decision } from "../limit/decision.ts";
import { parseDuration } from "../limit/duration.ts";
import { parse } from "../limit/misuse.ts";
import { type Policy, withQuota } from "../limit/policy.ts";
import { limitSchema, unitsSchema, windowSchema } from "../limit/policy-schema.ts";
import { withShortQueue } from "../limit/waiting.ts";
import { logSeldom } from "../log.ts";
import { UNKNOWN } from "./key/identity.ts";
import type { PathPattern } from "./match/path-pattern.ts";

export type PerRequest<Value> = (c: Context) => Value | Promise<Value>;

/** A function that answers a request in place of the standard refusal. */
export type RefusalFunction = (c: Context, decision: Decision) => Response | Promise<Response>;

/** A policy, and the functions that stand for some of its fields. */
export interface Rule {
  policy: Policy;
  key?: PerRequest<string | string[] | undefined> | undefined;
  limit?: PerRequest<number> | undefined;
  window?: PerRequest<string | number> | undefined;
  cost?: PerRequest<number> | undefined;
  /** Returns the actual cost of the response in `c.res`. */
  actual?: PerRequest<number> | undefined;
  /** The policy's path, if its key has a part of the path. `RuleMatcher` sets it. */
  pattern?: PathPattern | undefined;
  refusal?: RefusalFunction | undefined;
  /** Returns whether the response in `c.res` is charged. */
  charge?: PerRequest<boolean> | undefined;
}

/** An error's text may contain what a client wrote, so its length in the log is bounded. */
const MAX_DETAIL_CHARS = 200;

/** A field that a function may stand for. */
type Field = "key" | "limit" | "window" | "cost" | "actual" | "charge" | "refusal";

/** Thrown if a rule's function throws or returns a wrong value. The log says which. */
export class RuleError extends Error {}

/**
 * Returns the policy with the values of the functions; undefined if its limit is `Infinity`.
 *
 * @throws {RuleError} if a function fails
 */
export async function readPolicy(
  c: Context,
  { policy, limit, window, cost }: Rule,
): Promise<Policy | undefined> {
  let read = policy;
  if (limit) {
    const units = await run("limit", policy, async () => limitOf(await limit(c)));
    if (units === Number.POSITIVE_INFINITY) return undefined;
    read = { ...policy, limit: units };
  }
  if (limit || window) {
    read = await run(window ? "window" : "limit", policy, async () =>
      withShortQueue(
        withQuota(policy, read.limit, window ? windowOf(await window(c)) : policy.windowMs),
      ),
    );
  }
  if (cost) {
    const units = await run("cost", policy, async () => unitsOf("cost", await cost(c)));
    read = { ...read, cost: units, isPriced: true };
  }
  return read;
}

/** Returns whether the response in `c.res` is charged. If the function fails, it is. */
export async function readCharge(c: Context, { policy, charge }: Rule): Promise<boolean> {
  try {
    const given: unknown = await charge?.(c);
    if (typeof given === "boolean") return given;
    throw new TypeError(`it must give true or false, and gave ${kindOf(given)}`);
  } catch (error) {
    logFailure("charge", policy.name, error);
    return true;
  }
}

/** Returns the key parts that a function returns; if it fails, the shared key `unknown`. */
export async function readKey(
  c: Context,
  key: NonNullable<Rule["key"]>,
  { name }: Policy,
): Promise<string[]> {
  try {
    const given: unknown = await key(c);
    const parts = Array.isArray(given) ? given : [given];
    if (parts.length > 0 && parts.every(isKeyPart)) return parts;
    throw new TypeError(
      `it must give text, or a list of texts, none of them empty, and gave ${keyKindOf(given)}`,
    );
  } catch (error) {
    logFailure("key", name, error);
    return [UNKNOWN];
  }
}

function isKeyPart(part: unknown): part is string {
  // Lone surrogates all become one character in UTF-8, so different keys would count together.
  return typeof part === "string" && part !== "" && part.isWellFormed();
}

/** Says what a key function returned, and what to write instead. */
function keyKindOf(given: unknown): string {
  if (Array.isArray(given)) return `a list of ${given.map(keyKindOf).join(", ") || "nothing"}`;
  if (given === "") return "empty text";
  if (typeof given === "number") return "a number: write String(…) around it";
  if (typeof given !== "string") return kindOf(given);
  return given.isWellFormed() ? "text" : "text that is not well-formed Unicode";
}

function limitOf(given: unknown): number {
  return given === Number.POSITIVE_INFINITY ? given : unitsOf("limit", given, limitSchema);
}

function unitsOf(field: string, given: unknown, schema = unitsSchema): number {
  if (typeof given === "number") return parse(schema, given, field);
  throw new TypeError(`${field} must be a whole number, got ${kindOf(given)}`);
}

function windowOf(given: unknown): number {
  if (typeof given === "number") return parse(windowSchema, given, "window in milliseconds");
  const isRead = typeof given === "string" && parseDuration(given) !== undefined;
  if (isRead) return parse(windowSchema, given, "window");
  const rule = 'must be a duration such as "1m", or milliseconds';
  throw new TypeError(`window ${rule}, got ${kindOf(given)}`);
}

/** Returns the type of a value, to be named in place of the value: a client may have written it. */
function kindOf(given: unknown): string {
  if (given === undefined || given === null) return "nothing";
  return `${typeof given === "object" ? "an" : "a"} ${typeof given}`;
}

async function run<Value>(
  field: Exclude<Field, "key">,
  { name }: Policy,
  compute: () => Promise<Value>,
): Promise<Value> {
  try {
    return await compute();
  } catch (error) {
    logFailure(field, name, error);
    throw new RuleError();
  }
}

export function logFailure(field: Field, policy: string, error: unknown): void {
  const detail = String(error).slice(0, MAX_DETAIL_CHARS);
  const level = field === "key" ? "warn" : "error";
  logSeldom(level, `${field}-function-failed`, policy, { policy, detail });
}
