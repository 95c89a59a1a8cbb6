/** The client's part of a key, for key functions. */
import type { Context } from "hono";
import { isolateConfig } from "../../caller/isolate.ts";
import { clientAddress, clientKey } from "./identity.ts";

/**
 * Returns the key part `ip` of a request: the client's address, or its IPv6 network.
 *
 * A key function returns it for keys that it does not know. Otherwise each key that a client makes
 * up would have a quota of its own.
 *
 * @example
 * const keyOf = (c: Context) => {
 *   const key = c.req.header("X-Api-Key");
 *   return key !== undefined && CUSTOMERS.has(key) ? key : addressKey(c);
 * };
 */
export function addressKey(c: Context): string[] {
  const config = isolateConfig();
  const { raw } = c.req;
  return clientKey(clientAddress(raw.headers, config), raw, config);
}
