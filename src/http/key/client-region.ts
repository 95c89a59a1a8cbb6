/**
 * The region of a client. It is read once for each address, since reading parses all of `cf`.
 *
 * Regions are remembered in flat arrays, by a hash of the address. A newer client takes the slot of
 * an older one. A `Map` of as many addresses needs several times the memory, and twice the time.
 */
import type { Address } from "../../limit/address-list.ts";
import { first53Bits, PUBLIC_SIP_KEY, sipHash } from "../../ring/key-hash.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";

/** One for each client: 1.5 MB of the isolate's 128. A power of two. */
const SLOTS = 2 ** 17;

/** The client in a slot, by `first53Bits`. The slot's number adds the last bits of the hash. */
const clients = new Float64Array(SLOTS);
const regions = new Array<Region | undefined>(SLOTS);

/**
 * Returns the region nearest to a request. Cloudflare knows a client's place by its address, so the
 * requests of one address are in one region.
 *
 * @param client as `clientAddress` gives it
 * @param home the region if the place is unknown
 */
export function regionOf(request: Request, client: Address | undefined, home: Region): Region {
  const nearest = () => nearestRegion(request.cf as IncomingRequestCfProperties, home);
  if (!client) return nearest();
  const hash = sipHash(PUBLIC_SIP_KEY, client);
  const slot = hash.lo % SLOTS;
  const id = first53Bits(hash);
  const known = clients[slot] === id && regions[slot];
  if (known) return known;
  clients[slot] = id;
  regions[slot] = nearest();
  return regions[slot];
}
