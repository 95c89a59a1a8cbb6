/**
 * The configuration of a limiter: the variables and secrets that the deployed Worker, the library
 * inside somebody else's Worker and the check before a deployment all read.
 *
 * Other variables are none of its business and pass unread.
 */
import * as v from "valibot";
import { type AddressList, addressListSchema } from "./limit/address-list.ts";
import { durationSchema } from "./limit/duration.ts";
import { MisuseError, parse } from "./limit/misuse.ts";
import { oneOf, textLike, wholeNumber } from "./limit/schemas.ts";
import { MAX_OWNERS } from "./protocol/ring-record.ts";
import { type Region, regionSchema } from "./ring/region.ts";

/**
 * Used where no `HASH_SECRET` is set: right for a try, but anyone who reads this can aim at one
 * owner.
 */
const DEFAULT_HASH_SECRET = "turnpike";

const DEFAULT_OWNERS = 4;
/** So many owners a ring grows to by itself, unless it is told otherwise. */
const DEFAULT_MAX_OWNERS = 16;

const FIELD_FORMS = ["standard", "legacy"] as const;

/** What a limiter needs, in the deployed Worker and in somebody else's. */
export const limiterSchema = v.strictObject({
  /** Owners that each region begins with. */
  OWNERS: v.optional(numberVariable(1, MAX_OWNERS), DEFAULT_OWNERS),
  /** The fewest owners that a quiet region keeps. Default `OWNERS`. */
  OWNERS_MIN: v.optional(numberVariable(1, MAX_OWNERS)),
  /** The most owners that a busy region gets. Default 16, or `OWNERS` if that is more. */
  OWNERS_MAX: v.optional(numberVariable(1, MAX_OWNERS)),
  /** Checks a second that an owner takes before others join it; 0 leaves the ring as it is. */
  HIGH_WATER: v.optional(numberVariable(0, 1_000_000), 400),
  /** The region that counts keys whose policies have the scope `global`. */
  HOME_REGION: v.optional(regionSchema, "weur"),
  /** How long to wait for an owner. */
  DEADLINE: v.optional(durationSchema(1, 10_000), "250ms"),
  /** Bits of an IPv6 address that tell clients apart. */
  IPV6_PREFIX: v.optional(numberVariable(32, 128), 64),
  /** The header that names the client; its last entry, if it is a list. */
  IP_HEADER: v.optional(
    textLike(/^[A-Za-z0-9-]+$/, 'must be the name of a header such as "CF-Connecting-IP"'),
    "CF-Connecting-IP",
  ),
  /**
   * Which fields tell of the quota: the draft's two, or `X-RateLimit-Limit`, `-Remaining` and
   * `-Reset`, seconds until the quota is whole, beside them.
   */
  HEADERS: v.optional(oneOf(FIELD_FORMS), "standard"),
  /** Addresses and networks that are never limited. */
  ALLOW: v.optional(fromJson(addressListSchema), []),
  /** Addresses and networks that are refused, unless they are allowed. */
  DENY: v.optional(fromJson(addressListSchema), []),
  /** A secret: spreads keys over owners so that no client can foresee which. */
  HASH_SECRET: v.optional(v.unknown()),
});

export interface LimiterConfig {
  /** Checks a second that an owner takes before others join it; 0 never changes the ring. */
  highWater: number;
  minOwners: number;
  maxOwners: number;
  /** That each region begins with. */
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

/**
 * Reads what a limiter needs from a Worker's environment.
 *
 * @throws {MisuseError} naming the variable, the rule and the value
 */
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

function requireOrder(min: number, start: number, max: number): void {
  if (min > start) throw new MisuseError("OWNERS_MIN", `must be at most OWNERS, ${start}`, min);
  if (max < start) throw new MisuseError("OWNERS_MAX", `must be at least OWNERS, ${start}`, max);
}

/** Reads the variables that a schema has, and no others. */
export function readVariables<const Entries extends v.ObjectEntries>(
  schema: v.StrictObjectSchema<Entries, undefined>,
  env: object,
) {
  const given = Object.keys(schema.entries).map((name) => [name, Reflect.get(env, name)]);
  return parse(schema, Object.fromEntries(given));
}

/** Reads a secret, which no error may show. */
export function secret(name: string, value: unknown): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value === "string") return value;
  throw hidden(name, "must be text");
}

export function hidden(name: string, rule: string): MisuseError {
  return new MisuseError(name, rule, "a value that is not shown");
}

/** A variable on the command line is always text, so text that reads as a number is one. */
function numberVariable(least: number, most: number) {
  const read = (value: unknown) =>
    typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return v.pipe(v.unknown(), v.transform(read), wholeNumber(least, most));
}

/** A variable on the command line is always text, so a list may also be said in JSON. */
export function fromJson<const Schema extends v.GenericSchema>(schema: Schema) {
  return v.pipe(
    v.unknown(),
    v.check((value) => valueIn(value) !== undefined, "must be a list, or a list as JSON text"),
    v.transform(valueIn),
    schema,
  );
}

/** Returns what a text says in JSON; undefined where it is none. */
function valueIn(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
