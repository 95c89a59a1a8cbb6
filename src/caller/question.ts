/** What may be asked: the rules for keys and costs, where they come from outside. */
import * as v from "valibot";
import { MisuseError } from "../limit/misuse.ts";
import { type Policy, unitsSchema } from "../limit/policy.ts";

/** Longest key, in bytes of UTF-8. */
export const MAX_KEY_BYTES = 1_024;

export const keySchema = v.pipe(
  v.string("must be text"),
  v.minLength(1, "must not be empty"),
  v.maxBytes(MAX_KEY_BYTES, `must be at most ${MAX_KEY_BYTES} bytes`),
);

export const costSchema = v.optional(unitsSchema, 1);

/**
 * Makes sure that a cost can pass at all.
 *
 * @throws {MisuseError} if it is above a limit: waiting would not help
 */
export function requireWithinLimits(cost: number, policies: readonly Policy[], at = "cost"): void {
  for (const { name, limit } of policies) {
    if (cost > limit)
      throw new MisuseError(at, `must be at most ${limit}, the limit of "${name}"`, cost);
  }
}
