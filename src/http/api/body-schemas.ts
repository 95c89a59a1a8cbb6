/** What the bodies of API calls may hold. The API's document is made from these schemas. */
import * as v from "valibot";
import { actualSchema, holdSchema, ttlSchema } from "../../caller/holds.ts";
import { keySchema, keyTextSchema } from "../../caller/key.ts";
import { atMostSchema, blockSchema, overrideDurationSchema } from "../../caller/limiter.ts";
import { readAddress } from "../../limit/address-list.ts";
import { overrideLimitSchema } from "../../limit/override.ts";
import { unitsSchema } from "../../limit/policy-schema.ts";
import { listOf } from "../../limit/schemas.ts";

/** Longest part of a key, in bytes of UTF-8, if the key is a list. A part may be a path. */
const MAX_PART_BYTES = 16_384;
const MAX_PARTS = 16;
const MAX_CHECKS = 1_000;
const MAX_POLICIES = 16;
const MAX_REQUEST_ID_CHARS = 64;

/** The name of a policy, or an inline policy's fields, which `parsePolicy` checks. */
const policyFields = {
  policy: v.optional(v.string("must be the name of a policy")),
  name: v.optional(v.unknown()),
  limit: v.optional(v.unknown()),
  window: v.optional(v.unknown()),
  algorithm: v.optional(v.unknown()),
  start: v.optional(v.unknown()),
  burst: v.optional(v.unknown()),
  blockFor: v.optional(v.unknown()),
};

const policiesRule = `must be a list of 1 to ${MAX_POLICIES} policies`;
const checksRule = `must be a list of 1 to ${MAX_CHECKS} checks`;
const objectRule = "must be an object";

export const policyBodySchema = v.strictObject(policyFields, objectRule);

const ipRule = 'must be one address such as "192.0.2.7" or "2001:db8::1"';

const requestIdRule = `must be text of 1 to ${MAX_REQUEST_ID_CHARS} characters`;

const partsRule = `must be text, or a list of 1 to ${MAX_PARTS} texts`;

/** All parts of a key, in the order of the policy's `key`. A part may be empty. */
const keyPartsSchema = listOf(keyTextSchema(MAX_PART_BYTES), MAX_PARTS, partsRule);

/** Names the client, by exactly one of the two fields. */
const whoFields = {
  /** The key's only part, or all its parts in order. */
  key: v.optional(
    v.lazy(
      (key): v.GenericSchema<unknown, string | string[]> =>
        Array.isArray(key) ? keyPartsSchema : keySchema,
    ),
  ),
  /** The client's address; stands for its keys under the policies. */
  ip: v.optional(
    v.pipe(
      v.string(ipRule),
      v.check((text) => readAddress(text) !== undefined, ipRule),
      v.transform((text) => readAddress(text) as string),
    ),
  ),
};

export const checkSchema = v.strictObject(
  {
    ...whoFields,
    cost: v.optional(unitsSchema),
    atMost: v.optional(atMostSchema, false),
    /** Sent again within a minute, the same check answers as the first time and counts once. */
    requestId: v.optional(
      v.pipe(
        v.string(requestIdRule),
        v.minLength(1, requestIdRule),
        v.maxLength(MAX_REQUEST_ID_CHARS, requestIdRule),
      ),
    ),
    ...policyFields,
    policies: v.optional(listOf(policyBodySchema, MAX_POLICIES, policiesRule)),
  },
  objectRule,
);

export const manySchema = v.strictObject({ checks: listOf(checkSchema, MAX_CHECKS, checksRule) });

export const blockBodySchema = v.strictObject({ ...whoFields, duration: blockSchema }, objectRule);
export const unblockBodySchema = v.strictObject(whoFields, objectRule);

const oneName = v.string("must be the name of a policy");
/** The key that an override is for, and its policy. */
export const overriddenSchema = v.strictObject({ ...whoFields, policy: oneName }, objectRule);
export const overrideSchema = v.strictObject(
  { ...overriddenSchema.entries, limit: overrideLimitSchema, duration: overrideDurationSchema },
  objectRule,
);

const { cost: _, atMost: __, requestId: ___, ...asked } = checkSchema.entries;

export const reserveSchema = v.strictObject(
  { ...asked, amount: unitsSchema, ttl: ttlSchema },
  objectRule,
);
export const settleSchema = v.strictObject(
  { ...asked, hold: holdSchema, amount: actualSchema },
  objectRule,
);
export const releaseSchema = v.strictObject({ ...asked, hold: holdSchema }, objectRule);

export type CheckBody = v.InferOutput<typeof checkSchema>;
export type WhoBody = Pick<CheckBody, "key" | "ip">;
export type PolicyBody = Omit<
  CheckBody,
  "key" | "ip" | "cost" | "atMost" | "requestId" | "policies"
>;
