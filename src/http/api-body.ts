/**
 * Reads the body of an API call: one check or many, each under named or inline policies.
 *
 * An inline policy without a name is known by its algorithm and window, so that two calls with
 * different limits count together.
 */
import * as v from "valibot";
import { keySchema } from "../caller/key.ts";
import { blockSchema } from "../caller/limiter.ts";
import type { Question } from "../caller/question.ts";
import { formatDuration } from "../limit/duration.ts";
import { fieldPath, MisuseError, parse } from "../limit/misuse.ts";
import { type Policy, parsePolicy, requireFits, unitsSchema } from "../limit/policy.ts";
import type { Region } from "../ring/region.ts";

const MAX_CHECKS = 1_000;
const MAX_POLICIES = 16;

/** Read further by `parsePolicy`, if it is not a name. */
const policyFields = {
  policy: v.optional(v.string("must be the name of a policy")),
  name: v.optional(v.unknown()),
  limit: v.optional(v.unknown()),
  window: v.optional(v.unknown()),
  algorithm: v.optional(v.unknown()),
  burst: v.optional(v.unknown()),
};

const policiesRule = `must be a list of 1 to ${MAX_POLICIES} policies`;
const checksRule = `must be a list of 1 to ${MAX_CHECKS} checks`;
const objectRule = "must be an object";

const checkSchema = v.strictObject(
  {
    key: keySchema,
    cost: v.optional(unitsSchema),
    ...policyFields,
    policies: v.optional(
      v.pipe(
        v.array(v.strictObject(policyFields, objectRule), policiesRule),
        v.minLength(1, policiesRule),
        v.maxLength(MAX_POLICIES, policiesRule),
      ),
    ),
  },
  objectRule,
);

const manySchema = v.strictObject({
  checks: v.pipe(
    v.array(checkSchema, checksRule),
    v.minLength(1, checksRule),
    v.maxLength(MAX_CHECKS, checksRule),
  ),
});

type CheckBody = v.InferOutput<typeof checkSchema>;
type PolicyBody = Omit<CheckBody, "key" | "cost" | "policies">;

const blockBodySchema = v.strictObject({ key: keySchema, duration: blockSchema }, objectRule);
const unblockBodySchema = v.strictObject({ key: keySchema }, objectRule);

/**
 * Returns the questions of each check in a body, one for each scope of its policies, and whether
 * the body asked for many.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function readChecks(
  body: unknown,
  policies: readonly Policy[],
  region: Region,
): { groups: Question[][]; many: boolean } {
  if (Array.isArray(body)) throw new MisuseError("", objectRule, body);
  if (typeof body === "object" && body !== null && "checks" in body) {
    const { checks } = parse(manySchema, body);
    const groups = checks.map((check, at) => questions(check, `checks[${at}]`));
    return { groups, many: true };
  }
  return { groups: [questions(parse(checkSchema, body), "")], many: false };

  function questions({ key, cost, policies: several, ...one }: CheckBody, at: string): Question[] {
    if (several && Object.values(one).some((field) => field !== undefined)) {
      const rule = "must be left out, or hold what stands beside it";
      throw new MisuseError(fieldPath(at, "policies"), rule, several);
    }
    const asked = several
      ? several.map((each, index) => policy(each, `${fieldPath(at, "policies")}[${index}]`))
      : [policy(one, at)];
    requireDistinct(asked, fieldPath(at, "policies"));
    const charged = asked.map((each) => ({ ...each, cost: cost ?? each.cost }));
    for (const each of charged) requireFits(each.cost, each, fieldPath(at, "cost"));
    const scopes = Map.groupBy(charged, ({ scope }) => scope);
    return Array.from(scopes.values(), (group) => ({ key: [key], policies: group, region }));
  }

  function policy({ policy: name, ...inline }: PolicyBody, at: string): Policy {
    if (name === undefined) return inlinePolicy(inline, at);
    const [extra] = Object.entries(inline).find(([, value]) => value !== undefined) ?? [];
    if (extra !== undefined) {
      const rule = 'must be left out where "policy" names one';
      throw new MisuseError(fieldPath(at, extra), rule, inline[extra as keyof typeof inline]);
    }
    const found = policies.find((known) => known.name === name);
    if (found) return found;
    const names = policies.map((known) => `"${known.name}"`).join(", ");
    throw new MisuseError(fieldPath(at, "policy"), `must be one of ${names}`, name);
  }
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function readBlock(body: unknown): { key: string[]; durationMs: number } {
  const { key, duration } = parse(blockBodySchema, body);
  return { key: [key], durationMs: duration };
}

/** @throws {MisuseError} naming the field, the rule and the value */
export function readUnblock(body: unknown): string[] {
  return [parse(unblockBodySchema, body).key];
}

function inlinePolicy(fields: Omit<PolicyBody, "policy">, at: string): Policy {
  if (fields.limit === undefined && fields.window === undefined) {
    const rule = 'must name a policy, or "limit" and "window" must be given';
    throw new MisuseError(fieldPath(at, "policy"), rule, undefined);
  }
  const policy = parsePolicy({ ...fields, scope: "global" }, at);
  if (fields.name !== undefined) return policy;
  return { ...policy, name: `${policy.algorithm}:${formatDuration(policy.windowMs)}` };
}

function requireDistinct(policies: readonly Policy[], at: string): void {
  for (const [index, { name }] of policies.entries()) {
    if (policies.findIndex((policy) => policy.name === name) < index) {
      throw new MisuseError(`${at}[${index}]`, "must differ from those before it", name);
    }
  }
}
