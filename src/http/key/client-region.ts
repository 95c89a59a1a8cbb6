/**
 * The region of a client. It is read once for each address, since reading parses all of `cf`.
 */
import type { Address } from "../../limit/address-list.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";

/**
 * The most clients remembered, 0.4 MB; a power of two. Each address has one slot, which it shares
 * with others: under many clients most look-ups miss, and a `Map` would then insert and forget in
 * nearly every request.
 */
const SLOTS = 4_096;

const clients = new Array<Address>(SLOTS).fill("");
const regions = new Array<Region>(SLOTS);

/**
 * Returns the region nearest to a request. Cloudflare knows a client's place by its address, so the
 * requests of one address are in one region.
 *
 * @param client as `clientAddress` gives it
 * @param home the region if the place is unknown
 */
export function regionOf(request: Request, client: Address | undefined, home: Region): Region {
  const slot = client ? slotOf(client) : 0;
  if (client && clients[slot] === client) return regions[slot] as Region;
  const region = nearestRegion(request.cf as IncomingRequestCfProperties, home);
  if (client) {
    clients[slot] = client;
    regions[slot] = region;
  }
  return region;
}

function slotOf(client: Address): number {
  let hash = 0;
  for (let at = 0; at < client.length; at++) hash = Math.imul(hash, 31) + client.charCodeAt(at);
  return hash & (SLOTS - 1);
}
