/** Schemas that many fields share, so that their rules read alike. */
import * as v from "valibot";

export const textSchema = v.string("must be text");

/** A schema for text that matches a pattern. */
export function textLike(form: RegExp, rule: string) {
  return v.pipe(textSchema, v.regex(form, rule));
}

export const booleanSchema = v.custom<boolean>(
  (value) => typeof value === "boolean",
  "must be true or false",
);

/** A schema for a whole number within bounds. */
export function wholeNumber(least: number, most: number) {
  const rule = `must be a whole number from ${least} to ${most}`;
  return v.custom<number>((value) => {
    return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
  }, rule);
}

/** A schema for a list that is not empty. */
export function someOf<const Schema extends v.GenericSchema>(item: Schema, rule: string) {
  return v.pipe(v.array(item, rule), v.minLength(1, rule));
}

/** A schema for a list of 1 to `most`. */
export function listOf<const Schema extends v.GenericSchema>(
  item: Schema,
  most: number,
  rule: string,
) {
  return v.pipe(someOf(item, rule), v.maxLength(most, rule));
}

/** Returns true for an object that is not a list. valibot takes a list for an object, too. */
export function isTable(input: unknown): input is object {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}

/** A schema that reads a value by `first` if it `isFirst`, else by `other`. */
export function either<First extends v.GenericSchema, Other extends v.GenericSchema>(
  isFirst: (input: unknown) => boolean,
  first: First,
  other: Other,
) {
  return v.lazy((input): First | Other => (isFirst(input) ? first : other));
}

/** A schema for one of several names. */
export function oneOf<const Name extends string>(names: readonly Name[]) {
  const quoted = names.map((name) => `"${name}"`);
  return v.picklist(names, `must be ${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`);
}
