/**
 * The region of a client. It is read once for each address, since reading parses all of `cf`.
 */
import { RecentMap } from "../../caller/recent-map.ts";
import type { Address } from "../../limit/address-list.ts";
import { nearestRegion, type Region } from "../../ring/region.ts";

/**
 * The most clients remembered, 0.4 MB. With ten times as many, a look-up that misses takes four
 * times as long, and under many clients most look-ups miss.
 */
const MAX_CLIENTS = 4_000;

const regions = new RecentMap<Address, Region>(MAX_CLIENTS);

/**
 * Returns the region nearest to a request. Cloudflare knows a client's place by its address, so the
 * requests of one address are in one region.
 *
 * @param client as `clientAddress` gives it
 * @param home the region if the place is unknown
 */
export function regionOf(request: Request, client: Address | undefined, home: Region): Region {
  const known = client && regions.get(client);
  if (known) return known;
  const region = nearestRegion(request.cf as IncomingRequestCfProperties, home);
  if (client) regions.set(client, region);
  return region;
}
