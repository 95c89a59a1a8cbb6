/**
 * The configuration: the variables and secrets of `wrangler.toml`, read and checked once at start.
 *
 * The same reading serves the deployed Worker, the library inside somebody else's Worker, and the
 * check before a deployment. Other variables are none of its business and pass unread.
 */

import * as v from "valibot";
import { type AddressList, addressListSchema } from "./limit/address-list.ts";
import { durationSchema } from "./limit/duration.ts";
import { MisuseError, parse } from "./limit/misuse.ts";
import { type Policy, parsePolicies } from "./limit/policy.ts";
import { parseUrl } from "./limit/url.ts";
import type { ScalingLimits } from "./membership/autoscaling.ts";
import { MAX_OWNERS } from "./protocol/ring-record.ts";
import { REGIONS, type Region } from "./ring/region.ts";

/** The original's: 10 requests a minute for each address. */
const DEFAULT_POLICIES = [{ limit: 10, window: "60s" }];

/**
 * Used where no `HASH_SECRET` is set: right for a try, but anyone who reads this can aim at one
 * owner.
 */
const DEFAULT_HASH_SECRET = "turnpike";

const DEFAULT_OWNERS = 4;
/** So many owners a ring grows to by itself, unless it is told otherwise. */
const DEFAULT_MAX_OWNERS = 16;

const FORWARDED_FORMS = ["x-forwarded", "forwarded", "both", "none", "keep"] as const;

/** How the origin learns what the client asked for. */
export type ForwardedForm = (typeof FORWARDED_FORMS)[number];

const FIELD_FORMS = ["standard", "legacy"] as const;

/** What a limiter needs, in the deployed Worker and in somebody else's. */
export const limiterSchema = v.object({
  /** Owners that each region begins with. */
  OWNERS: v.optional(wholeNumber(1, MAX_OWNERS), DEFAULT_OWNERS),
  /** The fewest owners that a quiet region keeps. Default `OWNERS`. */
  OWNERS_MIN: v.optional(wholeNumber(1, MAX_OWNERS)),
  /** The most owners that a busy region gets. Default 16, or `OWNERS` if that is more. */
  OWNERS_MAX: v.optional(wholeNumber(1, MAX_OWNERS)),
  /** Checks a second that an owner takes before others join it; 0 leaves the ring as it is. */
  HIGH_WATER: v.optional(wholeNumber(0, 1_000_000), 400),
  /** The region that counts keys whose policies have the scope `global`. */
  HOME_REGION: v.optional(v.picklist(REGIONS, `must be one of ${quoted(REGIONS)}`), "weur"),
  /** How long to wait for an owner. */
  DEADLINE: v.optional(durationSchema(1, 10_000), "250ms"),
  /** Bits of an IPv6 address that tell clients apart. */
  IPV6_PREFIX: v.optional(wholeNumber(32, 128), 64),
  /** The header that names the client; its last entry, if it is a list. */
  IP_HEADER: v.optional(
    v.pipe(
      v.string("must be text"),
      v.regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header such as "CF-Connecting-IP"'),
    ),
    "CF-Connecting-IP",
  ),
  /**
   * Which fields tell of the quota: the draft's two, or `X-RateLimit-Limit`, `-Remaining` and
   * `-Reset`, seconds until the quota is whole, beside them.
   */
  HEADERS: v.optional(v.picklist(FIELD_FORMS, `must be one of ${quoted(FIELD_FORMS)}`), "standard"),
  /** Addresses and networks that are never limited. */
  ALLOW: v.optional(fromJson(addressListSchema), []),
  /** Addresses and networks that are refused, unless they are allowed. */
  DENY: v.optional(fromJson(addressListSchema), []),
  /** A secret: spreads keys over owners so that no client can foresee which. */
  HASH_SECRET: v.optional(v.unknown()),
});

/** What the gateway and its API need besides. */
export const gatewaySchema = v.object({
  /** Where requests go that may pass: a URL, `"zone"`, or `""`. */
  ORIGIN: v.optional(
    v.pipe(
      v.string("must be text"),
      v.check(
        (text) => text === "" || text === "zone" || isOrigin(text),
        'must be a URL such as "https://example.com" or "https://example.com/path", "zone", or ""',
      ),
    ),
    "",
  ),
  /**
   * How the origin learns the public host, the scheme and the client's address: in `X-Forwarded-*`,
   * in `Forwarded` (RFC 7239), in both, or in neither. A client's own headers of that kind are
   * dropped, except with `"keep"`, for a Worker that only a trusted proxy can reach.
   */
  FORWARDED: v.optional(
    v.picklist(FORWARDED_FORMS, `must be one of ${quoted(FORWARDED_FORMS)}`),
    "x-forwarded",
  ),
  /** A list of policies, or the same as JSON text. */
  POLICIES: v.optional(fromJson(v.unknown()), DEFAULT_POLICIES),
  /**
   * A secret: one token or several, separated by spaces; in front of each may stand `check:`, for
   * what only checks, peeks and refunds, or `admin:`, as for a token with nothing in front.
   */
  TOKEN: v.optional(v.unknown()),
});

/** A scope, and what RFC 6750, section 2.1, lets stand behind `Bearer`: it has no colon. */
const TOKEN_PATTERN = /^(?:(check|admin):)?([A-Za-z0-9._~+/-]+=*)$/;

/** What a token is for: `check`, to check, peek and refund; `admin`, everything. */
export type Scope = "check" | "admin";

export interface Token {
  scope: Scope;
  secret: string;
}

export interface LimiterConfig extends ScalingLimits {
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

export interface Config extends LimiterConfig {
  origin: string;
  forwarded: ForwardedForm;
  policies: Policy[];
  /** Empty where there is no API. */
  tokens: Token[];
}

/**
 * Reads what a limiter needs from a Worker's environment.
 *
 * @throws {MisuseError} naming the variable, the rule and the value
 */
export function parseLimiterConfig(env: object): LimiterConfig {
  const config = parse(limiterSchema, env);
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

/**
 * Reads the whole configuration of the deployed Worker.
 *
 * @throws {MisuseError} naming the variable, the rule and the value
 */
export function parseConfig(env: object): Config {
  const config = parse(gatewaySchema, env);
  return {
    ...parseLimiterConfig(env),
    origin: config.ORIGIN,
    forwarded: config.FORWARDED,
    policies: parsePolicies(config.POLICIES, "POLICIES"),
    tokens: readTokens(config.TOKEN),
  };
}

function readTokens(value: unknown): Token[] {
  const entries = secret("TOKEN", value)?.match(/\S+/g) ?? [];
  const tokens = entries.map((entry) => {
    const [, scope = "admin", secret] = TOKEN_PATTERN.exec(entry) ?? [];
    if (secret) return { scope, secret } as Token;
    throw hidden("TOKEN", "must be tokens of letters, digits or -._~+/, with = at the end only");
  });
  if (new Set(tokens.map(({ secret }) => secret)).size === tokens.length) return tokens;
  throw hidden("TOKEN", "must not name one token twice");
}

function requireOrder(min: number, start: number, max: number): void {
  if (min > start) throw new MisuseError("OWNERS_MIN", `must be at most OWNERS, ${start}`, min);
  if (max < start) throw new MisuseError("OWNERS_MAX", `must be at least OWNERS, ${start}`, max);
}

/** Reads a secret, which no error may show. */
function secret(name: string, value: unknown): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value === "string") return value;
  throw hidden(name, "must be text");
}

function hidden(name: string, rule: string): MisuseError {
  return new MisuseError(name, rule, "a value that is not shown");
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

/** A variable on the command line is always text, so text that reads as a number is one. */
function wholeNumber(least: number, most: number) {
  const rule = `must be a whole number from ${least} to ${most}`;
  return v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,9}$/, rule))], rule),
    v.transform(Number),
    v.check((value) => Number.isInteger(value) && value >= least && value <= most, rule),
  );
}

/** What a request brings itself (a query, credentials) an origin cannot have. */
function isOrigin(text: string): boolean {
  const url = parseUrl(text);
  if (!url || !/^https?:$/.test(url.protocol)) return false;
  return !(url.username || url.password || url.search || url.hash);
}

/** A variable on the command line is always text, so a list may also be said in JSON. */
function fromJson<const Schema extends v.GenericSchema>(schema: Schema) {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      if (typeof dataset.value !== "string") return dataset.value;
      try {
        return JSON.parse(dataset.value) as unknown;
      } catch {
        addIssue({ message: "must be a list, or a list as JSON text" });
        return NEVER;
      }
    }),
    schema,
  );
}
