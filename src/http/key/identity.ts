/**
 * Who a request counts as.
 *
 * The address is the client's as Cloudflare saw it, never `X-Forwarded-For`, which the client
 * writes. Clients that share an address share its quota; an address that cannot be read, and a
 * header that is missing, count as one shared key, never as a way past the limit.
 */
import type { Context } from "hono";
import { type Address, isIpv6, networkOf } from "../../limit/address-list.ts";
import type { Policy } from "../../limit/policy.ts";
import { parseUrl } from "../../limit/url.ts";
import { logSeldom } from "../../log.ts";
import { readForwarded, whyNoAddress } from "./forwarded.ts";
import { MISSING, readCookie, readHeader, readParameter } from "./request-values.ts";

/** The key of every request whose address is absent or cannot be read. */
export const UNKNOWN = "unknown";

/**
 * The address of every Worker that fetches from another zone
 * (https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip).
 */
export const CROSS_ZONE_WORKER = "2a06:98c0:3600::103";

/** The methods that may tell keys apart; all others are one, or each would bring a new quota. */
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const OTHER_METHOD = "other";
/** All values that `method` has in a key. */
export const METHOD_PARTS: readonly string[] = [...METHODS, OTHER_METHOD];

/** A value is absent everywhere if none was seen for so long, in at least so many requests. */
const ABSENT_MS = 60_000;
const ABSENT_REQUESTS = 3;

export interface IdentityOptions {
  /** The header that names the client; its last entry, if it is a list. */
  ipHeader: string;
  /** Bits of an IPv6 address that tell clients apart, 32 to 128. */
  ipv6Prefix: number;
}

/** A path as one origin may read it, and what its policy's `:name` stand for there. */
export interface PathMatch {
  path: string;
  valueOf(name: string): string | undefined;
}

/** What Cloudflare knows of a request, as far as it is part of a key. */
interface CloudflareProperties {
  country?: string | null;
  asn?: number | null;
  verifiedBotCategory?: string;
  botManagement?: { ja4?: string; verifiedBot?: boolean };
}

/** When a part of a policy's key was last there, and in how many requests since then it was not. */
const seen = new Map<string, { atMs: number; absent: number }>();

/** Returns the client's address; undefined where it is absent or cannot be read. */
export function clientAddress(
  headers: Headers,
  { ipHeader }: Pick<IdentityOptions, "ipHeader">,
): Address | undefined {
  return readForwarded(headers.get(ipHeader) ?? "");
}

/**
 * Returns a request's key from what a policy says it is made of.
 *
 * Warns where clients cannot be told apart: no address, or a value that no request has.
 *
 * @param policy whose `key` has the parts. With bits, 32 to 128, the address of an IPv6 client is
 *   cut there, and that of an IPv4 client stays whole: it is one client, or many who have no network
 *   in common
 * @param client what `clientAddress` gave
 * @param@param match for `path` and `param:NAME`
 * @example keyOf(c, { name: "site", key: ["ip", "method"] }, client, options) // ["2001:db8::/64", "GET"]
 */
export function keyOf(
  c: Context,
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
    return clientKey(client, c.req.raw.headers, { ipv6Prefix: Number(bits) });
  });
}

/** The client's part of a key: the address, or for IPv6 its network. */
export function clientKey(
  address: Address | undefined,
  headers: Headers,
  { ipv6Prefix }: Pick<IdentityOptions, "ipv6Prefix">,
): string[] {
  if (!address) return [UNKNOWN];
  if (!isIpv6(address)) return [address];
  if (address === CROSS_ZONE_WORKER) {
    // One zone's Worker must not spend the quota of all others.
    const worker = headers.get("CF-Worker");
    if (worker !== null) return [CROSS_ZONE_WORKER, worker];
  }
  return [networkOf(address, ipv6Prefix)];
}

/** Says that the clients under a policy share one quota, and why, with nothing of what they sent. */
export function warnNoAddress(
  headers: Headers,
  policy: string,
  { ipHeader }: Pick<IdentityOptions, "ipHeader">,
): void {
  const detail = `${ipHeader} names no client: ${whyNoAddress(headers.get(ipHeader))}`;
  logSeldom("warn", "clients-not-told-apart", `${policy} ip`, { policy, part: "ip", detail });
}

function partOf(c: Context, part: string, policy: string, match: PathMatch | undefined): string {
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
      // Cloudflare writes XX where it does not know; T1 is the Tor network, one@param match like others.
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

function cloudflareOf(c: Context): CloudflareProperties {
  return (c.req.raw as { cf?: CloudflareProperties }).cf ?? {};
}

/** The category of a bot that Cloudflare has verified, such as "Search Engine Crawler". */
function botOf(c: Context): string | undefined {
  const { verifiedBotCategory, botManagement } = cloudflareOf(c);
  return verifiedBotCategory || (botManagement?.verifiedBot ? "verified" : undefined);
}

/** Ports, dots at the end and case tell no hosts apart; the URL standard sees to the other spellings. */
function hostOf(url: string): string {
  return (
    parseUrl(url)
      ?.hostname.replace(/\.+/g, ".")
      .replace(/^\.|\.$/g, "") || MISSING
  );
}

function methodOf(method: string): string {
  if (method === "HEAD") return "GET";
  return METHODS.includes(method) ? method : OTHER_METHOD;
}

/** Returns the value, and warns if it is one that no request has had for a while. */
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
