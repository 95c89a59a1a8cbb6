/**
 * What a policy's key is made of, as a person writes it.
 *
 * | part | what has keys of its own |
 * | --- | --- |
 * | `ip`, `ip/32` to `ip/128` | clients by address; IPv6 by that many bits, default `IPV6_PREFIX` |
 * | `bot` | verified bots by Cloudflare's category, all others as by `ip` |
 * | `country`, `asn` | countries and networks, as Cloudflare knows them; all unknown ones are one |
 * | `ja4` | TLS clients by fingerprint (Cloudflare's Bot Management) |
 * | `header:NAME` | values; for `Authorization` the token without its scheme |
 * | `cookie:NAME` | values, however quoted or encoded; the first of a repeated cookie |
 * | `query:NAME` | values; two different ones count as none |
 * | `host`, `method` | hosts without port; GET with HEAD, and all methods but six as one |
 * | `path`, `param:NAME` | paths, and what `:NAME` of the policy's path stands for |
 */
import * as v from "valibot";
import { textSchema } from "./schemas.ts";

/** The client's address; with a number, that many bits of it, 32 to 128, if it is IPv6. */
const ADDRESS_PART = /^ip(?:\/(?:3[2-9]|[4-9]\d|1[01]\d|12[0-8]))?$/;
/** All other parts. Names are as in RFC 9110, section 5.6.2. */
const OTHER_PART =
  /^(?:host|path|method|country|asn|ja4|bot|param:[A-Za-z_]\w*|(?:header|cookie|query):[\w!#$%&'*+.^`|~-]+)$/;
/** Parts in which a client can put any value, and so get a key of its own for each. */
const MADE_UP_PART = /^(?:header|cookie|query|ja4)(?::|$)/;
/** Parts that the platform tells, or that have few values. */
const GIVEN_PART = /^(?:ip(?:\/\d+)?|bot|host|method|country|asn)$/;

export const keyPartSchema = v.pipe(
  textSchema,
  v.check(
    (part) => ADDRESS_PART.test(part) || OTHER_PART.test(part),
    'must be "ip", "ip/32" to "ip/128", "host", "path", "method", "country", "asn", "ja4", "bot", "param:NAME", "header:NAME", "cookie:NAME" or "query:NAME"',
  ),
);

/** Returns true if the key has the client's address. With `bot`, only verified bots lack it. */
export function hasAddress(key: readonly string[]): boolean {
  return key.some(isAddressPart);
}

export function isAddressPart(part: string): boolean {
  return part === "bot" || ADDRESS_PART.test(part);
}

/** Returns true if a client can get new quotas without end by making up values. */
export function isMadeUp(key: readonly string[]): boolean {
  return key.some((part) => MADE_UP_PART.test(part));
}

/** Returns true if a client can get only a few keys, whatever it sends. */
export function isGiven(key: readonly string[]): boolean {
  return key.every((part) => GIVEN_PART.test(part));
}
