/**
 * Who a request counts as.
 *
 * The address is the client's as Cloudflare saw it, never `X-Forwarded-For`, which the client
 * writes. Clients that share an address share its quota; an address that can't be read, and a
 * header that is missing, count as one shared key, never as a way past the limit.
 */
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { type Address, isIpv6, networkOf } from "../limit/address-list.ts";
import { readForwarded } from "./forwarded.ts";

/** The key of every request whose address is absent or can't be read. */
export const UNKNOWN = "unknown";

/** Stands for a header, cookie or place that is not there: no header's value has a NUL in it. */
const MISSING = "\0";

/**
 * The address of every Worker that fetches from another zone
 * (https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip).
 */
export const CROSS_ZONE_WORKER = "2a06:98c0:3600::103";

export interface IdentityOptions {
  /** The header that names the client; its last entry, if it is a list. */
  ipHeader: string;
  /** Bits of an IPv6 address that tell clients apart, 32 to 128. */
  ipv6Prefix: number;
}

/** A path as one origin may read it, and what its policy's `:name` stand for there. */
export interface Place {
  path: string;
  valueOf(name: string): string | undefined;
}

/** Returns the client's address; undefined where it is absent or can't be read. */
export function clientAddress(
  headers: Headers,
  { ipHeader }: Pick<IdentityOptions, "ipHeader">,
): Address | undefined {
  return readForwarded(headers.get(ipHeader) ?? "");
}

/**
 * Returns a request's key from what a policy says it is made of.
 *
 * @param parts each `ip`, `ip/BITS`, `host`, `path`, `param:NAME`, `method`, `country`, `asn`,
 *   `header:NAME` or `cookie:NAME`. With bits, 32 to 128, the address of an IPv6 client is cut there, and that of an
 *   IPv4 client stays whole: it is one client, or many who have no network in common
 * @param client what `clientAddress` gave
 * @param place for `path` and `param:NAME`
 * @example keyOf(c, ["ip", "method"], client, options) // ["2001:db8::/64", "GET"]
 */
export function keyOf(
  c: Context,
  parts: readonly string[],
  client: Address | undefined,
  options: IdentityOptions,
  place?: Place,
): string[] {
  return parts.flatMap((part) => {
    const [kind, bits = options.ipv6Prefix] = part.split("/");
    if (kind !== "ip") return partOf(c, part, place);
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

function partOf(c: Context, part: string, place: Place | undefined): string {
  const [kind, name = ""] = part.split(/:(.*)/s);
  const { cf } = c.req.raw as { cf?: { country?: string; asn?: number } };
  switch (kind) {
    case "host":
      return new URL(c.req.url).host;
    case "path":
      return place?.path ?? MISSING;
    case "param":
      return place?.valueOf(name) ?? MISSING;
    case "method":
      return c.req.method;
    case "country":
      return cf?.country ?? MISSING;
    case "asn":
      return cf?.asn === undefined ? MISSING : String(cf.asn);
    case "header":
      return c.req.header(name) ?? MISSING;
    case "cookie":
      return getCookie(c, name) ?? MISSING;
    default:
      throw new TypeError(`no key part is called ${part}`);
  }
}
