/** The rules for keys that come from outside. */
import * as v from "valibot";

/** Longest key of one text, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1_024;
/** Longest part of a key of several: a path may be one. */
const MAX_PART_BYTES = 16_384;
const MAX_PARTS = 16;

const textSchema = v.pipe(
  v.string("must be text"),
  // Half a surrogate pair has no UTF-8 of its own, so keys that hold one would count together.
  v.check((key) => key.isWellFormed(), "must be well-formed Unicode"),
);

export const keySchema = v.pipe(
  textSchema,
  v.minLength(1, "must not be empty"),
  v.maxBytes(MAX_KEY_BYTES, `must be at most ${MAX_KEY_BYTES} bytes`),
);

const partsRule = `must be text, or a list of 1 to ${MAX_PARTS} texts`;

/** The parts of a key in order, as a policy's `key` names them. A part may be empty. */
export const keyPartsSchema = v.pipe(
  v.array(
    v.pipe(textSchema, v.maxBytes(MAX_PART_BYTES, `must be at most ${MAX_PART_BYTES} bytes`)),
    partsRule,
  ),
  v.minLength(1, partsRule),
  v.maxLength(MAX_PARTS, partsRule),
);
