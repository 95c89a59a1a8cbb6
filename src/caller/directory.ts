/** Where each key's owner is: the ring of each region, made when it is first asked for. */
import type { KeyHash } from "../ring/key-hash.ts";
import { REGIONS, type Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";

export class Directory {
  readonly #ownersPerRegion: number;
  readonly #rings = new Map<Region, Ring>();

  constructor(ownersPerRegion: number) {
    this.#ownersPerRegion = ownersPerRegion;
  }

  ring(region: Region): Ring {
    const ring =
      this.#rings.get(region) ??
      new Ring(Array.from({ length: this.#ownersPerRegion }, (_, at) => `${region}/${at}`));
    this.#rings.set(region, ring);
    return ring;
  }

  /** The key's owner in each region, since a client may enter anywhere. */
  ownersEverywhere(key: KeyHash): string[] {
    return REGIONS.map((region) => this.ring(region).ownerOf(key));
  }
}
