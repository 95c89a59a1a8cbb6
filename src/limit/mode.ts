/**
 * When a request is decided: before its handler starts, alongside it, or after it.
 *
 * Reads the field, and refuses modes that another field of the policy rules out.
 */
import * as v from "valibot";
import { fieldPath, MisuseError } from "./misuse.ts";
import { either, isTable } from "./schemas.ts";

const MODES = ["before", "alongside", "after"] as const;

export type Mode = (typeof MODES)[number];

/**
 * The methods that mode `alongside` applies to by default. `GET` includes `HEAD`. Both change
 * nothing at an origin (RFC 9110, section 9.2.1), so a handler may start even if it is then denied.
 */
const SAFE_METHODS = ["GET"];

const rule =
  'must be "before", "alongside" or "after", or a table of methods such as { alongside = ["GET", "POST"] }';

const wordSchema = v.picklist(MODES, rule);

/** @param methods the schema of a list of methods */
export function modeSchema<const Methods extends v.GenericSchema<string[]>>(methods: Methods) {
  const tableSchema = v.strictObject({ alongside: methods }, rule);
  return either(isTable, tableSchema, wordSchema);
}

/** Fields of a policy. Some of their values do not go with every mode. */
interface Others {
  algorithm: string;
  charge: unknown;
  actual?: unknown;
  durable: boolean;
  method?: readonly string[] | undefined;
  maxWait: number;
}

/**
 * Reads a policy's mode, and for which methods a handler may run ahead of its verdict.
 *
 * @param at path of the policy, for the error
 * @throws {MisuseError} if the rest of the policy rules the mode out
 */
export function readMode(
  given: Mode | { alongside: string[] },
  { algorithm, charge, actual, durable, method, maxWait }: Others,
  at: string,
): { mode: Mode; aheadMethods: readonly string[] } {
  const refuse = (rule: string) => {
    throw new MisuseError(fieldPath(at, "mode"), rule, given);
  };
  const mode = typeof given === "string" ? given : "alongside";
  const named = typeof given === "string" ? SAFE_METHODS : given.alongside;
  const aheadMethods = named.includes("GET") ? [...named, "HEAD"] : named;
  if (mode === "before") return { mode, aheadMethods };
  const waiting =
    maxWait > 0
      ? "maxWait"
      : algorithm === "concurrency" || algorithm === "leaky-bucket"
        ? algorithm
        : "";
  if (waiting) refuse(`must be "before" with "${waiting}", which says when a handler starts`);
  // `durable` is on disk before the answer; `actual` and `charge` settle after the response.
  const settled = durable ? "durable" : actual ? "actual" : charge !== "always" ? "charge" : "";
  if (mode === "after" && settled) {
    refuse(`must be "before" or "alongside" with "${settled}", which waits for the owner`);
  }
  if (mode === "alongside" && method && !method.some((each) => aheadMethods.includes(each))) {
    const list = JSON.stringify(method);
    refuse(`must be "before" or { alongside = ${list} } where "method" is ${list}`);
  }
  return { mode, aheadMethods };
}
