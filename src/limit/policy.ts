/**
 * A policy: how many units one key may spend in which window, and what its requests are.
 *
 * Reads and checks what a person wrote, in `wrangler.toml` or in code, into the form the rest of the
 * house uses: every field present, every duration in milliseconds.
 */
import * as v from "valibot";
import { durationSchema } from "./duration.ts";
import { MisuseError, parse } from "./misuse.ts";

/** Largest limit, and so the largest cost: sums of them stay exact in a double. */
export const MAX_LIMIT = 1_000_000_000;
export const MIN_WINDOW_MS = 1_000;
/** A year and a day. */
export const MAX_WINDOW_MS = 366 * 86_400_000;

const NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
const METHOD_PATTERN = /^[A-Z]{1,20}$/;
/** Hono's patterns without the regular expressions: `*` and `:name` stand for whole segments. */
const PATH_PATTERN = /^\/$|^(?:\/(?:\*|:[A-Za-z_]\w*|[^\s/*:{}?#\\][^\s/*{}?#\\]*))+\/?$/;

const nameSchema = v.pipe(
  v.string("must be text"),
  v.regex(NAME_PATTERN, "must be 1 to 64 letters, digits, dots, dashes or underscores"),
);

const limitRule = `must be a whole number from 1 to ${MAX_LIMIT}`;

/** Units in a quota, or the cost of a check. */
export const unitsSchema = v.pipe(
  v.number(limitRule),
  v.integer(limitRule),
  v.minValue(1, limitRule),
  v.maxValue(MAX_LIMIT, limitRule),
);

/** How the units are counted. One so far; see the file of that name for its rule and its weakness. */
export const algorithmSchema = v.picklist(["fixed-window"], 'must be "fixed-window"');

/** The length of a window, read as milliseconds. */
export const windowSchema = durationSchema(MIN_WINDOW_MS, MAX_WINDOW_MS);

export const policySchema = v.pipe(
  v.strictObject(
    {
      name: v.optional(nameSchema, "default"),
      limit: unitsSchema,
      window: windowSchema,
      algorithm: v.optional(algorithmSchema, "fixed-window"),
      key: v.optional(
        v.pipe(
          v.array(v.picklist(["ip"], 'must be "ip"'), 'must be a list such as ["ip"]'),
          v.minLength(1, "must name at least one part"),
        ),
        ["ip"],
      ),
      path: v.optional(
        v.pipe(
          v.string("must be text"),
          v.regex(PATH_PATTERN, 'must be a path pattern such as "/*", "/login" or "/users/:id"'),
        ),
        "/*",
      ),
      method: v.optional(
        v.pipe(
          v.array(
            v.pipe(
              v.string("must be text"),
              v.regex(METHOD_PATTERN, 'must be a method in capitals such as "POST"'),
            ),
            'must be a list such as ["POST"]',
          ),
          v.minLength(1, "must name at least one method, or be left out for all of them"),
        ),
      ),
      onFailure: v.optional(
        v.picklist(["local", "allow", "deny"], 'must be "local", "allow" or "deny"'),
        "local",
      ),
      scope: v.optional(v.picklist(["region", "global"], 'must be "region" or "global"')),
    },
    "must be a table of a policy's fields",
  ),
  v.transform(({ window, scope, ...rest }) => ({
    ...rest,
    windowMs: window,
    scope: scope ?? (rest.key.includes("ip") ? ("region" as const) : ("global" as const)),
  })),
);

/** A policy as a person writes it; every field but `limit` and `window` has a default. */
export type PolicyInput = v.InferInput<typeof policySchema>;

/** A policy as the house uses it. */
export type Policy = v.InferOutput<typeof policySchema>;

/**
 * Reads one policy.
 *
 * @param at path of the policy, for the error
 * @throws {MisuseError} naming the field, the rule and the value
 * @example parsePolicy({ limit: 10, window: "60s" }).windowMs // 60_000
 */
export function parsePolicy(input: unknown, at = ""): Policy {
  return parse(policySchema, input, at);
}

/**
 * Reads a list of policies with distinct names.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function parsePolicies(input: unknown, at: string): Policy[] {
  if (!Array.isArray(input) || input.length === 0) {
    throw new MisuseError(at, "must be a list of at least one policy", input);
  }
  const policies = input.map((policy, index) => parsePolicy(policy, `${at}[${index}]`));
  const names = new Set<string>();
  for (const [index, { name }] of policies.entries()) {
    if (names.has(name)) {
      throw new MisuseError(`${at}[${index}].name`, "must be different for each policy", name);
    }
    names.add(name);
  }
  return policies;
}
