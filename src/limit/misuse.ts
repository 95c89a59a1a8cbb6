/**
 * Input that breaks a rule: the errors name the field, the rule and the value.
 *
 * A denial is a value, never an error.
 */
import * as v from "valibot";

const MAX_SHOWN_CHARS = 80;

/** Thrown for data that can't be right: what is on disk, or what another object sent. */
export class InvalidError extends Error {
  override readonly name: string = "InvalidError";
  /** Path of the field, such as `POLICIES[0].limit`; empty for the whole input. */
  readonly field: string;

  /** @param rule what the field must be, as the rest of a sentence: "must be …" */
  constructor(field: string, rule: string, value: unknown) {
    super(`${field || "input"} ${rule}, got ${show(value)}`);
    this.field = field;
  }
}

/** Thrown where the mistake was written. `message` reads `POLICIES[0].limit must be …, got -1`. */
export class MisuseError extends InvalidError {
  override readonly name = "MisuseError";
}

/**
 * Returns `input` as `schema` reads it.
 *
 * @param at path of `input` itself, put in front of the field's path in an error
 * @param Failure the class of the error
 * @throws {InvalidError} a `MisuseError` by default, for the first field that breaks its rule
 */
export function parse<const Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  at = "",
  Failure: typeof InvalidError = MisuseError,
): v.InferOutput<Schema> {
  // For valibot a list is an object without fields.
  if (Array.isArray(input) && "entries" in schema && "message" in schema) {
    throw new Failure(at, String(schema.message ?? "must be an object"), input);
  }
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = issue.path ?? [];
  const field = path.reduce((before, { key }) => fieldPath(before, key), at);
  if (issue.type === "strict_object" && issue.expected === "never") {
    throw new Failure(field, unknownRule(schema, path.length), path.at(-1)?.value);
  }
  if (issue.type === "strict_object" && issue.received === "undefined") {
    // A name with a typing mistake leaves the right one missing.
    const unknown = path.length === 1 ? unknownField(schema, input) : undefined;
    if (unknown) {
      const [name, value] = unknown;
      throw new Failure(fieldPath(at, name), unknownRule(schema, 1), value);
    }
    throw new Failure(field, "is required", undefined);
  }
  throw new Failure(field, issue.message, issue.input);
}

function unknownField(schema: object, input: unknown): [name: string, value: unknown] | undefined {
  if (!("entries" in schema)) return undefined;
  return Object.entries(input as object).find(([name]) => !(name in (schema.entries as object)));
}

/** Lists the known fields, unless the unknown one lies deeper. */
function unknownRule(schema: object, depth: number): string {
  if (depth > 1 || !("entries" in schema)) return "is not a known field";
  return `is not one of the fields ${Object.keys(schema.entries as object).join(", ")}`;
}

/**
 * Writes the path of a field inside another: `fieldPath("checks[0]", "cost") // "checks[0].cost"`.
 */
export function fieldPath(before: string, key: unknown): string {
  if (typeof key === "number") return `${before}[${key}]`;
  return before ? `${before}.${String(key)}` : String(key);
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  // JSON has no NaN and no Infinity and turns both into null.
  const text = typeof value === "number" ? String(value) : toJson(value);
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text;
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    // A bigint, or an object that contains itself, such as a request's context.
    return typeof value === "bigint" ? String(value) : typeof value;
  }
}
