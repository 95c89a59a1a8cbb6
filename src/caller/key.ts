/** The rules for keys that callers pass in. */
import * as v from "valibot";

/** The longest key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1_024;

const encoder = new TextEncoder();

/** Returns a schema for a key, or a part of one. */
export function textSchema(maxBytes: number) {
  return v.pipe(
    v.string("must be text"),
    // Half a surrogate pair has no UTF-8 of its own. All keys that differ only there would count as
    // one.
    v.check((key) => key.isWellFormed(), "must be well-formed Unicode"),
    v.check((key) => encoder.encode(key).length <= maxBytes, `must be at most ${maxBytes} bytes`),
  );
}

export const keySchema = v.pipe(textSchema(MAX_KEY_BYTES), v.minLength(1, "must not be empty"));
