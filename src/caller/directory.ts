/**
 * Where each key's owner is: the ring of each region, as configured until an owner knows better.
 */
import type { Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";
import { firstOwners, type RingRecord } from "../ring/ring-record.ts";

/** Below that of any ring that somebody has decided on. */
const CONFIGURED = 0;

export class Directory {
  readonly #ownersPerRegion: number;
  readonly #rings = new Map<Region, Ring>();

  constructor(ownersPerRegion: number) {
    this.#ownersPerRegion = ownersPerRegion;
  }

  ring(region: Region): Ring {
    const ring =
      this.#rings.get(region) ?? new Ring(firstOwners(region, this.#ownersPerRegion), CONFIGURED);
    this.#rings.set(region, ring);
    return ring;
  }

  /** Takes note of a ring, if it is later than the one known. */
  learn(region: Region, { owners, version }: RingRecord): void {
    if (version > this.ring(region).version) this.#rings.set(region, new Ring(owners, version));
  }
}
