/**
 * The configuration of a limiter: variables and secrets. Three read it: the deployed Worker, the
 * library in an app's Worker, and the check before a deployment.
 *
 * Other variables are not read.
 */

import * as v from "valibot";
import { type AddressList, addressListSchema } from "./limit/address-list.ts";
import { durationSchema } from "./limit/duration.ts";
import { parseJson } from "./limit/json.ts";
import { MisuseError, parse } from "./limit/misuse.ts";
import { parsePolicies } from "./limit/policies.ts";
import type { Policy } from "./limit/policy.ts";
import { oneOf, textLike, wholeNumber } from "./limit/schemas.ts";
import { MAX_OWNERS } from "./protocol/ring-record.ts";
import { type Region, regionSchema } from "./ring/region.ts";

/**
 * Used if no `HASH_SECRET` is set: good enough for a trial, but anyone who reads this can aim at
 * one owner.
 */
const DEFAULT_HASH_SECRET = "turnpike";

const DEFAULT_OWNERS = 4;
const DEFAULT_MAX_OWNERS = 16;

const FIELD_FORMS = ["standard", "legacy"] as const;

/** What a limiter needs, in the deployed Worker and in an app. */
export const limiterSchema = v.strictObject({
  /** Owners that each region begins with, 1 to 256. Default 4. */
  OWNERS: v.optional(numberVariable(1, MAX_OWNERS), DEFAULT_OWNERS),
  /** The fewest owners that a quiet region keeps. Default `OWNERS`. */
  OWNERS_MIN: v.optional(numberVariable(1, MAX_OWNERS)),
  /** The most owners that a busy region gets. Default 16, or `OWNERS` if that is more. */
  OWNERS_MAX: v.optional(numberVariable(1, MAX_OWNERS)),
  /**
   * Checks a second that an owner takes before others join it, to 1,000,000. Default 400; with 0
   * the load never changes a ring.
   */
  HIGH_WATER: v.optional(numberVariable(0, 1_000_000), 400),
  /** The region that counts keys of policies with the scope `global`. Default `weur`. */
  HOME_REGION: v.optional(regionSchema, "weur"),
  /** How long to wait for an owner, `"1ms"` to `"10s"`. Default `"250ms"`. */
  DEADLINE: v.optional(durationSchema(1, 10_000), "250ms"),
  /** Bits of an IPv6 address that tell clients apart, 32 to 128. Default 64. */
  IPV6_PREFIX: v.optional(numberVariable(32, 128), 64),
  /**
   * The header with the client's address; of a list, the last entry counts. Default
   * `CF-Connecting-IP`. A client can forge any other, unless a proxy sets it.
   */
  IP_HEADER: v.optional(
    textLike(/^[A-Za-z0-9-]+$/, 'must be the name of a header such as "CF-Connecting-IP"'),
    "CF-Connecting-IP",
  ),
  /**
   * Which response fields tell of the quota: the draft's two (`"standard"`, default), or
   * `X-RateLimit-Limit`, `-Remaining` and `-Reset`, in seconds, beside them (`"legacy"`).
   */
  HEADERS: v.optional(oneOf(FIELD_FORMS), "standard"),
  /** Addresses and networks that are never limited. Default none. */
  ALLOW: v.optional(fromJson(addressListSchema), []),
  /** Addresses and networks that are refused, unless `ALLOW` has them. Default none. */
  DENY: v.optional(fromJson(addressListSchema), []),
  /** A secret that decides which owner gets which key, so that no client can foresee it. */
  HASH_SECRET: v.optional(v.unknown()),
});

export interface LimiterConfig {
  /**
   * Checks a second that an owner takes before others join it; with 0 the load never changes a
   * ring.
   */
  highWater: number;
  minOwners: number;
  maxOwners: number;
  /** Owners that each region begins with. */
  ownersPerRegion: number;
  homeRegion: Region;
  deadlineMs: number;
  ipv6Prefix: number;
  ipHeader: string;
  /** Which fields tell of the quota. */
  fields: (typeof FIELD_FORMS)[number];
  allow: AddressList;
  deny: AddressList;
  hashSecret: string;
}

/** @throws {MisuseError} naming the variable, the rule and the value */
export function parseLimiterConfig(env: object): LimiterConfig {
  const config = readVariables(limiterSchema, env);
  const { OWNERS, OWNERS_MIN = OWNERS, OWNERS_MAX = Math.max(OWNERS, DEFAULT_MAX_OWNERS) } = config;
  requireOrder(OWNERS_MIN, OWNERS, OWNERS_MAX);
  return {
    ownersPerRegion: OWNERS,
    minOwners: OWNERS_MIN,
    maxOwners: OWNERS_MAX,
    highWater: config.HIGH_WATER,
    homeRegion: config.HOME_REGION,
    deadlineMs: config.DEADLINE,
    ipv6Prefix: config.IPV6_PREFIX,
    ipHeader: config.IP_HEADER,
    fields: config.HEADERS,
    allow: config.ALLOW,
    deny: config.DENY,
    hashSecret: secret("HASH_SECRET", config.HASH_SECRET) ?? DEFAULT_HASH_SECRET,
  };
}

/** Returns the schema of `POLICIES`, a variable that only some Workers have. */
export function policiesVariable() {
  return v.optional(fromJson(v.unknown()), [{ limit: 10, window: "60s" }]);
}

/** @throws {MisuseError} naming the variable, the rule and the value */
export function parsePoliciesVariable(env: object): Policy[] {
  const { POLICIES } = readVariables(v.strictObject({ POLICIES: policiesVariable() }), env);
  return parsePolicies(POLICIES, "POLICIES");
}

function requireOrder(min: number, start: number, max: number): void {
  if (min > start) throw new MisuseError("OWNERS_MIN", `must be at most OWNERS, ${start}`, min);
  if (max < start) throw new MisuseError("OWNERS_MAX", `must be at least OWNERS, ${start}`, max);
}

/** Reads the variables that a schema names, and no others. */
export function readVariables<const Entries extends v.ObjectEntries>(
  schema: v.StrictObjectSchema<Entries, undefined>,
  env: object,
) {
  const given = Object.keys(schema.entries).map((name) => [name, Reflect.get(env, name)]);
  return parse(schema, Object.fromEntries(given));
}

/** Reads a secret. An error about it never shows it. */
export function secret(name: string, value: unknown): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value === "string") return value;
  throw hidden(name, "must be text");
}

export function hidden(name: string, rule: string): MisuseError {
  return new MisuseError(name, rule, "a value that is not shown");
}

/** Reads a number. A variable on the command line is always text, so text may be a number, too. */
function numberVariable(least: number, most: number) {
  const read = (value: unknown) =>
    typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return v.pipe(v.unknown(), v.transform(read), wholeNumber(least, most));
}

/** Reads a list. A variable on the command line is always text, so a list may be JSON, too. */
export function fromJson<const Schema extends v.GenericSchema>(schema: Schema) {
  return v.pipe(
    v.unknown(),
    v.check((value) => valueIn(value) !== undefined, "must be a list, or a list as JSON text"),
    v.transform(valueIn),
    schema,
  );
}

function valueIn(value: unknown): unknown {
  return typeof value === "string" ? parseJson(value) : value;
}
