/**
 * Input that breaks a rule: the errors name the field, the rule and the value.
 *
 * A denial is a value, never an error.
 */
import * as v from "valibot";

const MAX_SHOWN_CHARS = 80;
/** Letters that a mistyped name shares with the field it was meant for. */
const SAME_LETTERS = 3;

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

/** Thrown for mistakes in code and configuration: `POLICIES[0].limit must be …, got -1`. */
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
  // Unknown fields come first: a mistyped name also leaves the right one missing.
  requireKnownFields(schema, input, at, Failure);
  const [issue] = result.issues;
  const field = (issue.path ?? []).reduce((before, { key }) => fieldPath(before, key), at);
  if (issue.type === "strict_object") {
    if (issue.expected === "never") {
      throw new Failure(field, "is not a known field", issue.path?.at(-1)?.value);
    }
    if (issue.received === "undefined") throw new Failure(field, "is required", undefined);
  }
  throw new Failure(field, issue.message, issue.input);
}

/** @throws {InvalidError} if the input itself has a field that its schema does not know */
function requireKnownFields(
  schema: v.GenericSchema,
  input: unknown,
  at: string,
  Failure: typeof InvalidError,
): void {
  if (schema.type !== "strict_object" || !("entries" in schema)) return;
  if (typeof input !== "object" || input === null) return;
  const known = Object.keys(schema.entries as object);
  const unknown = Object.entries(input).find(([name]) => !known.includes(name));
  if (!unknown) return;
  const [name, value] = unknown;
  const start = (each: string) => each.slice(0, SAME_LETTERS).toLowerCase();
  const meant = known.find((each) => start(each) === start(name));
  const rule = meant
    ? `is not a known field (did you mean "${meant}"?)`
    : `is not one of the fields ${known.join(", ")}`;
  throw new Failure(fieldPath(at, name), rule, value);
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
  // JSON would write NaN and Infinity as null.
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
