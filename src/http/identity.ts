/**
 * Who a request counts as: the client's address, as Cloudflare saw it.
 *
 * Never `X-Forwarded-For`, which the client writes. Clients that share an address share its quota,
 * and an address that can't be read counts as one shared `unknown`, never as a way past the limit.
 */
import ipaddr from "ipaddr.js";

/** The key of every request whose address is absent or can't be read. */
export const UNKNOWN = "unknown";

/**
 * The address of every Worker that fetches from another zone
 * (https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip).
 */
const CROSS_ZONE_WORKER = "2a06:98c0:3600::103";

export interface IdentityOptions {
  /** The header that names the client; its last entry, if it is a list. Default `CF-Connecting-IP`. */
  ipHeader?: string;
  /** Bits of an IPv6 address that tell clients apart, 32 to 128. Default 64. */
  ipv6Prefix?: number;
}

/**
 * Returns the key parts of a request's client.
 *
 * @example clientKey(new Headers({ "CF-Connecting-IP": "2001:db8::1" })) // ["2001:db8::/64"]
 */
export function clientKey(
  headers: Headers,
  { ipHeader = "CF-Connecting-IP", ipv6Prefix = 64 }: IdentityOptions = {},
): string[] {
  const text = headers.get(ipHeader)?.split(",").at(-1)?.trim();
  const address = text && readAddress(text);
  if (!address) return [UNKNOWN];
  if (address instanceof ipaddr.IPv4) return [address.toString()];
  // One zone's Worker must not spend the quota of all others.
  const worker = headers.get("CF-Worker");
  if (worker !== null && address.toString() === CROSS_ZONE_WORKER)
    return [CROSS_ZONE_WORKER, worker];
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address}/${ipv6Prefix}`);
  return [`${network}/${ipv6Prefix}`];
}

function readAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // The library also reads `127.1` and `0x7f000001`, which no proxy writes.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!ipaddr.IPv6.isValid(text) || text.includes("%")) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}
