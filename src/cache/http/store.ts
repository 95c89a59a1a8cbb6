/** What the HTTP cache needs of the cache under it. */

/** The most bytes of a value. */
export const MAX_VALUE_BYTES = 1_048_576;

export interface Computed {
  value: Uint8Array;
  ttlMs: number;
  staleForMs: number;
  tags: string[];
}

export interface Found {
  value: Uint8Array;
  ageMs: number;
  /** The number of the computation: a later one has a greater number. */
  version: number;
  source: "copy" | "owner" | "computed";
}

export interface CacheStore {
  /** Returns what is stored. Never computes, and never waits for a computation. */
  find(key: string): Promise<Found | undefined>;
  /**
   * Returns what is stored, or computes it: one caller for all who ask.
   *
   * @param compute returns undefined where nothing may be stored; then those who wait get undefined
   * @param newerThan an entry of this version, or an older one, counts as missing
   */
  lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan?: number,
  ): Promise<Found | undefined>;
  purge(key: string): Promise<void>;
}
