/** The limit that an override gives a key in place of a policy's own. */
import * as v from "valibot";
import { parse } from "./misuse.ts";
import { type Policy, withQuota } from "./policy.ts";
import { limitSchema } from "./policy-schema.ts";
import { either } from "./schemas.ts";

/** The limit of an unlimited key: all its checks pass, and none is counted. */
export const UNLIMITED = Number.POSITIVE_INFINITY;

const unlimitedSchema = v.pipe(
  v.literal("unlimited", 'must be a whole number or "unlimited"'),
  v.transform(() => UNLIMITED),
);

export const overrideLimitSchema = either(
  (limit) => typeof limit === "string",
  unlimitedSchema,
  limitSchema,
);

/**
 * Reads the limit of an override under a policy.
 *
 * @throws {MisuseError} if the input is no limit, or more than the policy's algorithm can count
 */
export function readOverrideLimit(policy: Policy, input: unknown): number {
  const limit = parse(overrideLimitSchema, input, "limit");
  requireCountable(policy, limit);
  return limit;
}

/** @throws {MisuseError} if the policy's algorithm cannot count that high */
export function requireCountable(policy: Policy, limit: number): void {
  if (limit !== UNLIMITED) withQuota({ ...policy, burst: undefined }, limit, policy.windowMs);
}
