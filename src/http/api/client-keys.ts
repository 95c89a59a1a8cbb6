/**
 * The keys of an address under the configured policies: what an operator means by "this client".
 *
 * A key with a part that only a request has, such as `["ip", "path"]`, cannot be listed. A block of
 * the address still denies such requests if every request also meets a policy with listed keys.
 */
import type { Config } from "../../config.ts";
import { type Address, isListed, readAddress } from "../../limit/address-list.ts";
import { hasAddress, isAddressPart } from "../../limit/key-part.ts";
import { MisuseError } from "../../limit/misuse.ts";
import type { Policy } from "../../limit/policy.ts";
import { CROSS_ZONE_WORKER, clientKey, METHOD_PARTS, methodOf } from "../key/identity.ts";
import { fold, readingsOf } from "../match/path.ts";

export type ClientKeyOptions = Pick<Config, "policies" | "ipv6Prefix" | "allow">;

export interface ClientKeys {
  /** Each key once. */
  keys: string[][];
  /** Names of the policies under which the address can still pass while these keys are blocked. */
  unreached: string[];
}

/** What people write around an address: blanks, brackets, a port, a network's length, a zone. */
const AROUND_ADDRESS = /^\s*\[?|(?:%\w+)?\]?(?:(?<=\]|\.\d+):\d+)?(?:\/\d+)?\s*$/g;
/** Leading zeros of a number in an IPv4 address. */
const LEADING_ZEROS = /(?<![\w:])0+(?=\d+(?:\.|$))/g;
const NO_HEADERS = { headers: new Headers() };

/**
 * Returns the keys of an address.
 *
 * @throws {MisuseError} if no policy gives the address a key, or it stands for several clients
 */
export function keysOfAddress(address: Address, options: ClientKeyOptions): ClientKeys {
  requireOneClient(address);
  if (isListed(address, options.allow)) {
    throw new MisuseError("ip", "must not be in ALLOW, which is never counted", address);
  }
  const keys = new Map<string, string[]>();
  for (const policy of options.policies) {
    if (isListed(address, policy.allow)) continue;
    for (const key of keysUnder(policy, address, options)) keys.set(JSON.stringify(key), key);
  }
  if (keys.size === 0) {
    const rule =
      'must be all that a policy\'s key is made of, as with key = ["ip"]; no policy is so';
    throw new MisuseError("ip", rule, address);
  }
  return { keys: [...keys.values()], unreached: unreached(address, [...keys.keys()], options) };
}

/**
 * Returns the parts of a key as requests have them under a policy. An operator may write a path, a
 * method or a country in any case, and any address of an IPv6 client. A key of one part stays as it
 * is, since a caller may count any text under a policy.
 */
export function partsUnder(
  { key }: Pick<Policy, "key">,
  parts: readonly string[],
  { ipv6Prefix }: Pick<Config, "ipv6Prefix">,
): string[] {
  if (parts.length < 2 || parts.length !== key.length) return [...parts];
  return key.map((part, at) => {
    const text = parts[at] as string;
    const address = isAddressPart(part) ? readAddress(text) : undefined;
    if (address) return clientParts(address, part, ipv6Prefix)[0] as string;
    if (part === "method") return methodOf(text.toUpperCase());
    if (part === "country") return text.toUpperCase();
    if (part === "path" && text[0] === "/") return readingsOf(`https://a${text}`)?.[0] || text;
    return /^(?:host|param)/.test(part) ? fold(text) : text;
  });
}

/**
 * Returns a text as a key. If the text is an address, it must be a key of some policy: otherwise no
 * request has that key, and a block of it would change nothing.
 *
 * @throws {MisuseError} saying what to write instead
 */
export function keyOfText(text: string, options: ClientKeyOptions): ClientKeys {
  const address = addressIn(text);
  if (address === undefined) return { keys: [[text]], unreached: [] };
  requireKnownKey(text, options.policies, options);
  return { keys: [[text]], unreached: unreached(address, [JSON.stringify([text])], options) };
}

/** Returns all keys of an address under a policy; none if they cannot be listed. */
export function keysUnder(
  { key }: Pick<Policy, "key">,
  address: Address,
  { ipv6Prefix }: Pick<Config, "ipv6Prefix">,
): string[][] {
  if (!hasAddress(key)) return [];
  let keys: string[][] = [[]];
  for (const part of key) {
    let values: string[][] = [];
    if (part === "method") values = METHOD_PARTS.map((method) => [method]);
    else if (isAddressPart(part)) values = [clientParts(address, part, ipv6Prefix)];
    keys = keys.flatMap((before) => values.map((value) => [...before, ...value]));
  }
  return keys;
}

function clientParts(address: Address, part: string, ipv6Prefix: number): string[] {
  const [, bits = ipv6Prefix] = part.split("/");
  return clientKey(address, NO_HEADERS, { ipv6Prefix: Number(bits) });
}

/** @throws {MisuseError} if a text is an address, and not the key of a policy */
export function requireKnownKey(
  text: string,
  policies: readonly Policy[],
  options: Pick<Config, "ipv6Prefix">,
  field = "key",
): void {
  const address = addressIn(text);
  if (address === undefined) return;
  const keys = policies.flatMap((policy) => keysUnder(policy, address, options));
  if (keys.some((key) => key.length === 1 && key[0] === text)) return;
  const rule = `is the key of no policy: write {"ip": ${JSON.stringify(address)}} for that client, or ${JSON.stringify([text])} for a key of this very text`;
  throw new MisuseError(field, rule, text);
}

/** @throws {MisuseError} if many clients have the address */
export function requireOneClient(address: Address, field = "ip"): void {
  if (address !== CROSS_ZONE_WORKER) return;
  const rule = `must not be that of all Workers: write "key": ["${address}", the CF-Worker header]`;
  throw new MisuseError(field, rule, address);
}

/** Returns the policies under which an address can pass while these keys, as JSON, are blocked. */
function unreached(
  address: Address,
  blocked: readonly string[],
  options: ClientKeyOptions,
): string[] {
  const isReached = (policy: Policy) => {
    const keys = keysUnder(policy, address, options).map((key) => JSON.stringify(key));
    if (keys.length === 0 || isListed(address, policy.allow)) return false;
    // A verified bot counts by its category instead.
    return keys.every((key) => blocked.includes(key)) && !policy.key.includes("bot");
  };
  const reached = options.policies.filter(isReached);
  // A policy that every request meets denies all of the client's requests.
  if (reached.some(meetsAll)) return [];
  return options.policies.flatMap((policy) => (reached.includes(policy) ? [] : [policy.name]));
}

function meetsAll({ path, except, method }: Policy): boolean {
  return path === "/*" && except.length === 0 && !method;
}

function addressIn(text: string): Address | undefined {
  return readAddress(text.replace(AROUND_ADDRESS, "").replace(LEADING_ZEROS, ""));
}
