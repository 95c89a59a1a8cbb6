/** The rules for keys that come from outside. */
import * as v from "valibot";

/** Longest key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1_024;

export const keySchema = v.pipe(
  v.string("must be text"),
  v.minLength(1, "must not be empty"),
  // Half a surrogate pair has no UTF-8 of its own, so keys that hold one would count together.
  v.check((key) => key.isWellFormed(), "must be well-formed Unicode"),
  v.maxBytes(MAX_KEY_BYTES, `must be at most ${MAX_KEY_BYTES} bytes`),
);
