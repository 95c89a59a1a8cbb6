/**
 * The key of a request: who it counts as.
 *
 * The client's address is the one that Cloudflare saw, never `X-Forwarded-For`, which the client
 * writes. Clients that share an address share its quota. Requests without a readable address share
 * one key, and so do requests without a header: neither is a way past the limit.
 */
import { type Address, isIpv6, networkOf } from "../../limit/address-list.ts";
import type { Policy } from "../../limit/policy.ts";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import type { RequestContext } from "../request-context.ts";
import { readForwarded, whyNoAddress } from "./forwarded.ts";
import { MISSING, readCookie, readHeader, readParameter } from "./request-values.ts";

/** The key of every request whose address is absent or cannot be read. */
export const UNKNOWN = "unknown";

/**
 * The address of every Worker that fetches from another zone
 * (https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip).
 */
export const CROSS_ZONE_WORKER = "2a06:98c0:3600::103";

/**
 * Methods with keys of their own. All others share one, since a client can make up methods.
 */
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const OTHER_METHOD = "other";
/** All values of the key part `method`. */
export const METHOD_PARTS: readonly string[] = [...METHODS, OTHER_METHOD];

/** A key part is warned about if it was absent for this long, in at least this many requests. */
const ABSENT_MS = 60_000;
const ABSENT_REQUESTS = 3;

export interface IdentityOptions {
  /** The header with the client's address: the last entry, if it is a list. */
  ipHeader: string;
  /** Length of an IPv6 client's network, 32 to 128 bits. */
  ipv6Prefix: number;
}

/** One reading of the path, and the values of the policy's `:name` segments in it. */
export interface PathMatch {
  path: string;
  valueOf(name: string): string | undefined;
}

/** The properties of `request.cf` that a key may have. */
interface CloudflareProperties {
  country?: string | null;
  asn?: number | null;
  verifiedBotCategory?: string;
  botManagement?: { ja4?: string; verifiedBot?: boolean };
}

/** When a policy's key part was last present, and the number of requests without it since then. */
const seen = new Map<string, { atMs: number; absent: number }>();

/** Returns the client's address; undefined if it is absent or cannot be read. */
export function clientAddress(
  headers: Headers,
  { ipHeader }: Pick<IdentityOptions, "ipHeader">,
): Address | undefined {
  return readForwarded(headers.get(ipHeader) ?? "");
}

/**
 * Returns a request's key under a policy.
 *
 * Warns if clients cannot be told apart: without an address, or by a value that no request has.
 *
 * @param policy its `key` names the parts. `ip/48` cuts an IPv6 address to 48 bits; an IPv4 address
 *   stays whole
 * @param client the result of `clientAddress`
 * @param match for `path` and `param:NAME`
 * @example keyOf(c, { name: "site", key: ["ip", "method"] }, client, options) // ["2001:db8::/64", "GET"]
 */
export function keyOf(
  c: RequestContext,
  policy: Pick<Policy, "name" | "key">,
  client: Address | undefined,
  options: IdentityOptions,
  match?: PathMatch,
): string[] {
  return policy.key.flatMap((part) => {
    const [kind = "", bits = options.ipv6Prefix] = part.split("/");
    if (kind !== "ip" && kind !== "bot") return partOf(c, part, policy.name, match);
    const category = kind === "bot" ? botOf(c) : undefined;
    if (category !== undefined) return [MISSING, category];
    if (!client) warnNoAddress(c.req.raw.headers, policy.name, options);
    return clientKey(client, c.req.raw, { ipv6Prefix: Number(bits) });
  });
}

/**
 * Returns the client's part of a key: the address, or for IPv6 its network.
 *
 * @param request its headers cost a call into the runtime, and few addresses need them
 */
export function clientKey(
  address: Address | undefined,
  request: { readonly headers: Headers },
  { ipv6Prefix }: Pick<IdentityOptions, "ipv6Prefix">,
): string[] {
  if (!address) return [UNKNOWN];
  if (!isIpv6(address)) return [address];
  if (address === CROSS_ZONE_WORKER) {
    // The Workers of all zones have this address, so their zone tells them apart.
    const worker = request.headers.get("CF-Worker");
    if (worker !== null) return [CROSS_ZONE_WORKER, worker];
  }
  return [networkOf(address, ipv6Prefix)];
}

/** Warns that clients without an address share one quota. The line has nothing that they sent. */
export function warnNoAddress(
  headers: Headers,
  policy: string,
  { ipHeader }: Pick<IdentityOptions, "ipHeader">,
): void {
  const detail = `${ipHeader} names no client: ${whyNoAddress(headers.get(ipHeader))}`;
  logSeldom("warn", "clients-not-told-apart", `${policy} ip`, { policy, part: "ip", detail });
}

function partOf(
  c: RequestContext,
  part: string,
  policy: string,
  match: PathMatch | undefined,
): string {
  const [kind, name = ""] = part.split(/:(.*)/s);
  const { country, asn, botManagement } = cloudflareOf(c);
  switch (kind) {
    case "host":
      return hostOf(c.req.url);
    case "path":
      return match?.path.replace(/\/$/, "") || "/";
    case "param":
      return match?.valueOf(name) ?? MISSING;
    case "method":
      return methodOf(c.req.method.toUpperCase());
    case "country":
      // Cloudflare writes XX for unknown. T1, the Tor network, counts as a country.
      return country && country !== "XX" ? country : MISSING;
    case "asn":
      return asn ? String(asn) : MISSING;
    case "ja4":
      return warnIfNeverSent(policy, part, botManagement?.ja4 || MISSING);
    case "header":
      return warnIfNeverSent(policy, part, readHeader(c.req.raw.headers.get(name), name).value);
    case "cookie":
      return warnIfNeverSent(policy, part, readCookie(c.req.raw.headers.get("Cookie"), name).value);
    default:
      return warnIfNeverSent(policy, part, readParameter(c.req.url, name));
  }
}

function cloudflareOf(c: RequestContext): CloudflareProperties {
  return (c.req.raw as { cf?: CloudflareProperties }).cf ?? {};
}

/** Returns the category of a verified bot, such as "Search Engine Crawler". */
function botOf(c: RequestContext): string | undefined {
  const { verifiedBotCategory, botManagement } = cloudflareOf(c);
  return verifiedBotCategory || (botManagement?.verifiedBot ? "verified" : undefined);
}

/** Returns the host without its port and stray dots. The URL parser folds its other spellings. */
function hostOf(url: string): string {
  return (
    parseUrl(url)
      ?.hostname.replace(/\.+/g, ".")
      .replace(/^\.|\.$/g, "") || MISSING
  );
}

/** Returns the key part of a method in capitals. */
export function methodOf(method: string): string {
  if (method === "HEAD") return "GET";
  return METHODS.includes(method) ? method : OTHER_METHOD;
}

/** Returns the value, and warns if no request of the last minute had one. */
function warnIfNeverSent(policy: string, part: string, value: string): string {
  const id = `${policy} ${part}`;
  const nowMs = Date.now();
  let last = seen.get(id);
  if (!last) {
    last = { atMs: Number.NEGATIVE_INFINITY, absent: 0 };
    seen.set(id, last);
  }
  if (value !== MISSING && value !== "") {
    last.atMs = nowMs;
    last.absent = 0;
  } else if (++last.absent >= ABSENT_REQUESTS && nowMs - last.atMs >= ABSENT_MS) {
    const detail = "no request of the last minute has it, so all of them share one quota";
    logSeldom("warn", "clients-not-told-apart", id, { policy, part, detail });
  }
  return value;
}
