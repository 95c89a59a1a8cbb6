/** The rules for keys that callers pass in. */
import * as v from "valibot";
import { textSchema } from "../limit/schemas.ts";

/** The longest key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1_024;

const encoder = new TextEncoder();

/** Returns a schema for a key, or a part of one. */
export function keyTextSchema(maxBytes: number) {
  return v.pipe(
    textSchema,
    // Half a surrogate pair has no UTF-8 of its own. All keys that differ only there would count as
    // one.
    v.check((key) => key.isWellFormed(), "must be well-formed Unicode"),
    v.check((key) => encoder.encode(key).length <= maxBytes, `must be at most ${maxBytes} bytes`),
  );
}

export const keySchema = v.pipe(keyTextSchema(MAX_KEY_BYTES), v.minLength(1, "must not be empty"));
