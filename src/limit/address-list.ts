/** Lists of addresses: single ones and networks in CIDR notation, IPv4 and IPv6. */
import ipaddr from "ipaddr.js";
import * as v from "valibot";

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Networks, each with its bits. */
export type AddressList = readonly (readonly [Address, number])[];

const rule = 'must be an address or a network such as "192.0.2.7" or "2001:db8::/32"';

/** A schema for a list of addresses and networks. */
export const addressListSchema = v.array(
  v.pipe(
    v.string(rule),
    v.check((text) => readNetwork(text) !== undefined, rule),
    v.transform((text) => readNetwork(text) as readonly [Address, number]),
  ),
  'must be a list such as ["192.0.2.0/24"]',
);

/** Reads an address, IPv4 that is mapped into IPv6 as IPv4; undefined if it is none. */
export function readAddress(text: string): Address | undefined {
  // The library also reads `127.1` and `0x7f000001`, which no proxy writes.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!ipaddr.IPv6.isValid(text) || text.includes("%")) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

export function isListed(address: Address | undefined, list: AddressList): boolean {
  if (!address) return false;
  return list.some(([network, bits]) =>
    address instanceof ipaddr.IPv4
      ? network instanceof ipaddr.IPv4 && address.match(network, bits)
      : network instanceof ipaddr.IPv6 && address.match(network, bits),
  );
}

function readNetwork(text: string): readonly [Address, number] | undefined {
  const [host = "", bits, more] = text.split("/");
  const address = readAddress(host);
  if (!address || more !== undefined) return undefined;
  const most = address instanceof ipaddr.IPv4 ? 32 : 128;
  if (bits === undefined) return [address, most];
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > most) return undefined;
  return [address, Number(bits)];
}
