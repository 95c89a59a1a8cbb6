/**
 * Each region's ring as this isolate knows it: first as configured, then as it is reported.
 *
 * A caller with an old ring gets the new one with an owner's next answer. For the cache, which makes
 * no checks, `RingFollower` asks.
 */

import { ownerNames, type RingRecord } from "../protocol/ring-record.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Region } from "../ring/region.ts";
import { Ring } from "../ring/ring.ts";

/** Version of the configured ring: below that of any ring that a membership object decides on. */
export const CONFIGURED = 0;

/** A key's owner in a region, and the version of the ring that names it. */
export interface Routed {
  key: KeyHash;
  region: Region;
  owner: string;
  version: number;
}

export class Router {
  readonly #ownersPerRegion: number;
  readonly #rings = new Map<Region, Ring>();

  constructor(ownersPerRegion: number) {
    this.#ownersPerRegion = ownersPerRegion;
  }

  ownerOf(key: KeyHash, region: Region): { owner: string; version: number } {
    const ring = this.#ring(region);
    return { owner: ring.ownerOf(key), version: ring.version };
  }

  versionOf(region: Region): number {
    return this.#ring(region).version;
  }

  ownersOf(region: Region): readonly string[] {
    return this.#ring(region).owners;
  }

  /** @param askedBy version that an owner was asked by when it answered with this ring */
  learn(region: Region, askedBy: number, { owners, version }: RingRecord): void {
    const known = this.#ring(region).version;
    // A newer ring wins. An owner answers with an older one only after it asked the membership
    // object: the version that we asked by never existed.
    if (version > known || askedBy === known) this.#rings.set(region, new Ring(owners, version));
  }

  #ring(region: Region): Ring {
    const known = this.#rings.get(region);
    if (known) return known;
    const ring = new Ring(ownerNames(region, this.#ownersPerRegion), CONFIGURED);
    this.#rings.set(region, ring);
    return ring;
  }
}

let router: Router | undefined;

/** Returns the rings that this isolate knows, which its caller, events and cache share. */
export function isolateRouter(ownersPerRegion: number): Router {
  router ??= new Router(ownersPerRegion);
  return router;
}
