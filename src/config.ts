/**
 * The configuration of the deployed Worker: the variables and secrets of `wrangler.toml`, checked
 * once at start and before a deployment.
 */
import * as v from "valibot";
import { parsePolicies } from "./limit/policies.ts";
import type { Policy } from "./limit/policy.ts";
import { oneOf, textSchema } from "./limit/schemas.ts";
import { parseUrl } from "./limit/url.ts";
import {
  fromJson,
  hidden,
  type LimiterConfig,
  parseLimiterConfig,
  policiesVariable,
  readVariables,
  secret,
} from "./limiter-config.ts";

const FORWARDED_FORMS = ["x-forwarded", "forwarded", "both", "none", "keep"] as const;

const WATCH_FORMS = ["prefix", "full", "hashed", "off"] as const;

/** How the origin learns what the client asked for. */
export type ForwardedForm = (typeof FORWARDED_FORMS)[number];

/** What the gateway and its API need, besides what a limiter needs. */
export const gatewaySchema = v.strictObject({
  /**
   * Where allowed requests go: a URL, `"zone"`, or `""`. Default `""`: the binding
   * `ORIGIN_SERVICE`, else a demo.
   */
  ORIGIN: v.optional(
    v.pipe(
      textSchema,
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
   * dropped. `"keep"` passes them on: for a Worker that only a trusted proxy can reach.
   */
  FORWARDED: v.optional(oneOf(FORWARDED_FORMS), "x-forwarded"),
  /**
   * A list of policies, or such a list as JSON text. Default: 10 requests a minute per address.
   */
  POLICIES: policiesVariable(),
  /**
   * A secret: one token, or several separated by spaces. A token with `check:` in front may check,
   * peek, refund, reserve, settle, release and count events; one with `metrics:` may read the
   * metrics. One with `admin:` or nothing in front may do everything. Default none: no API.
   */
  TOKEN: v.optional(v.unknown()),
  /**
   * How the live page and the log name clients: `"prefix"` (default), `"full"` or `"hashed"`. With
   * `"off"`, or without a `TOKEN`, the limiter counts nothing of itself.
   */
  WATCH: v.optional(oneOf(WATCH_FORMS), "prefix"),
  /**
   * Share of denials that are logged, 0 (default) to 1; each isolate logs at most one line a second
   * for each policy. Needs `WATCH`. A line never has a whole key.
   */
  LOG_DENIALS: v.optional(
    v.pipe(
      v.unknown(),
      v.transform((value) =>
        typeof value === "string" && /^\d*\.?\d+(e-\d+)?$/.test(value) ? Number(value) : value,
      ),
      v.custom<number>(
        (share) => typeof share === "number" && share >= 0 && share <= 1,
        "must be a number from 0 to 1",
      ),
    ),
    0,
  ),
  /**
   * Origins, such as `"https://app.example.com"`, whose pages may ask `GET /_turnpike/v1/quota`
   * what their visitor has left. Pages of the Worker's own origin may, too. Default none: no such
   * call.
   */
  QUOTA_ORIGINS: v.optional(
    fromJson(
      v.array(
        v.pipe(
          textSchema,
          v.check(
            (text) => /^https?:/.test(text) && parseUrl(text)?.origin === text,
            'must be an origin such as "https://app.example.com"',
          ),
        ),
        "must be a list of origins",
      ),
    ),
    [],
  ),
});

/** A scope, and a token as RFC 6750, section 2.1, allows behind `Bearer`: it has no colon. */
const TOKEN_PATTERN = /^(?:(check|metrics|admin):)?([A-Za-z0-9._~+/-]+=*)$/;

/** What a token may do: `check`, to check; `metrics`, to read the metrics; `admin`, everything. */
export type Scope = "check" | "metrics" | "admin";

export interface Token {
  scope: Scope;
  secret: string;
}

export interface Config extends LimiterConfig {
  origin: string;
  forwarded: ForwardedForm;
  policies: readonly Policy[];
  /** The policies as they are written in the variable. */
  writtenPolicies: unknown;
  watch: (typeof WATCH_FORMS)[number];
  loggedDenials: number;
  /** Empty if browsers can't ask for their quota. */
  quotaOrigins: string[];
  /** Empty if there is no API. */
  tokens: Token[];
}

/** @throws {MisuseError} naming the variable, the rule and the value */
export function parseConfig(env: object): Config {
  const config = readVariables(gatewaySchema, env);
  return {
    ...parseLimiterConfig(env),
    origin: config.ORIGIN,
    forwarded: config.FORWARDED,
    policies: parsePolicies(config.POLICIES, "POLICIES"),
    writtenPolicies: config.POLICIES,
    watch: config.WATCH,
    loggedDenials: config.LOG_DENIALS,
    quotaOrigins: config.QUOTA_ORIGINS,
    tokens: tokensIn(env),
  };
}

/** @throws {MisuseError} if `TOKEN` is no list of tokens */
export function tokensIn(env: object): Token[] {
  const entries = secret("TOKEN", Reflect.get(env, "TOKEN"))?.match(/\S+/g) ?? [];
  const tokens = entries.map((entry) => {
    const [, scope = "admin", secret] = TOKEN_PATTERN.exec(entry) ?? [];
    if (secret) return { scope, secret } as Token;
    throw hidden("TOKEN", "must be tokens of letters, digits or -._~+/, with = at the end only");
  });
  if (new Set(tokens.map(({ secret }) => secret)).size === tokens.length) return tokens;
  throw hidden("TOKEN", "must not name one token twice");
}

/** Returns true for an HTTP URL without credentials, query and fragment. */
function isOrigin(text: string): boolean {
  const url = parseUrl(text);
  if (!url || !/^https?:$/.test(url.protocol)) return false;
  return !(url.username || url.password || url.search || url.hash);
}
