/**
 * When a request is decided: before its handler starts, alongside it, or after it.
 *
 * Reads the field, and refuses modes that another field of the policy rules out.
 */
import * as v from "valibot";
import { fieldPath, MisuseError } from "./misuse.ts";

const MODES = ["before", "alongside", "after"] as const;

export type Mode = (typeof MODES)[number];

/** Beside HEAD. It changes nothing at an origin (RFC 9110, section 9.2.1), so a denied one may start. */
const SAFE_METHODS = ["GET"];

const rule =
  'must be "before", "alongside" or "after", or a table of methods such as { alongside = ["GET", "POST"] }';

const wordSchema = v.picklist(MODES, rule);

/** Returns a schema for the field. */
export function modeSchema<const Methods extends v.GenericSchema<string[]>>(methods: Methods) {
  const tableSchema = v.strictObject({ alongside: methods }, rule);
  return v.lazy((input): typeof wordSchema | typeof tableSchema =>
    typeof input === "object" && input && !Array.isArray(input) ? tableSchema : wordSchema,
  );
}

/** What the rest of a policy says that a mode depends on. */
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
  if (algorithm === "concurrency") {
    refuse('must be "before" with "concurrency", since a handler needs its slot before it starts');
  }
  if (algorithm === "leaky-bucket" || maxWait > 0) {
    refuse(
      `must be "before" with ${maxWait > 0 ? '"maxWait"' : '"leaky-bucket"'}, which holds requests`,
    );
  }
  if (mode === "after" && durable) {
    refuse('must be "before" or "alongside" with "durable", which is on disk before the answer');
  }
  if (mode === "after" && (charge !== "always" || actual !== undefined)) {
    const field = actual === undefined ? "charge" : "actual";
    refuse(`must be "before" or "alongside" with "${field}", which the response tells`);
  }
  if (mode === "alongside" && method && !method.some((each) => aheadMethods.includes(each))) {
    const list = JSON.stringify(method);
    refuse(`must be "before" or { alongside = ${list} } where "method" is ${list}`);
  }
  return { mode, aheadMethods };
}
