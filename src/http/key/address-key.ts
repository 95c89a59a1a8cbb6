/** The client's part of a key, for key functions. */
import type { Context } from "hono";
import { isolateConfig } from "../../caller/isolate.ts";
import { clientAddress, clientKey } from "./identity.ts";

/**
 * Returns what the key part `ip` is for a request: the client's address, or its IPv6 network.
 *
 * For a key function that knows the keys there are: a client that makes one up counts by address. Without
 * that, each made-up key would bring a quota of its own.
 *
 * @example
 * const keyOf = (c: Context) => {
 *   const key = c.req.header("X-Api-Key");
 *   return key !== undefined && CUSTOMERS.has(key) ? key : addressKey(c);
 * };
 */
export function addressKey(c: Context): string[] {
  const config = isolateConfig();
  const { headers } = c.req.raw;
  return clientKey(clientAddress(headers, config), headers, config);
}
