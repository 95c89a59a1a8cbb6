/**
 * The region whose owners answer a request: the one nearest to where the request entered
 * Cloudflare.
 *
 * A region's name is a Durable Object location hint
 * (https://developers.cloudflare.com/durable-objects/reference/data-location/), so an owner's name
 * says where it was created. Coarse on purpose: by continent, and by longitude where a continent
 * has two regions.
 */
import { oneOf } from "../limit/schemas.ts";

export const REGIONS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;

export type Region = (typeof REGIONS)[number];

export const regionSchema = oneOf(REGIONS);

/** Returns a function that makes something once for each region, when it is first asked for. */
export function perRegion<Made extends object>(
  make: (region: Region) => Made,
): (region: Region) => Made {
  const regions = new Map<Region, Made>();
  return (region) => {
    const known = regions.get(region);
    if (known) return known;
    const made = make(region);
    regions.set(region, made);
    return made;
  };
}

/** The parts of `request.cf` that tell where a request entered. */
export interface Coordinates {
  continent?: string | undefined;
  /** Degrees east as decimal text, as Cloudflare gives it. */
  longitude?: string | undefined;
}

/** Denver and Phoenix lie west of this. */
const WNAM_EAST_EDGE_DEGREES = -100;
/** Warsaw, Budapest and Athens lie east of this. */
const WEUR_EAST_EDGE_DEGREES = 18;
/** Karachi and Tashkent lie east of this. */
const ME_EAST_EDGE_DEGREES = 60;

/**
 * Returns the region nearest to a request.
 *
 * @param home the region if the place is unknown (Tor, Antarctica, a test)
 */
export function nearestRegion({ continent, longitude }: Coordinates = {}, home: Region): Region {
  // Number("") is 0, which would put a place without longitude onto Greenwich.
  const degrees = longitude ? Number(longitude) : Number.NaN;
  switch (continent) {
    case "NA":
      return degrees < WNAM_EAST_EDGE_DEGREES ? "wnam" : "enam";
    case "SA":
      return "sam";
    case "EU":
      return degrees > WEUR_EAST_EDGE_DEGREES ? "eeur" : "weur";
    case "AS":
      return degrees < ME_EAST_EDGE_DEGREES ? "me" : "apac";
    case "OC":
      return "oc";
    case "AF":
      return "afr";
    default:
      return home;
  }
}
