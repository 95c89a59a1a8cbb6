/** Values of the cache, and their bounds. */

/** The longest that a value is kept. */
export const MAX_KEPT_MS = 7 * 86_400_000;

/** The most bytes of a value. */
export const MAX_VALUE_BYTES = 1_048_576;

/** What a computation has made. */
export interface Computed {
  value: Uint8Array;
  /** How long it is kept. */
  ttlMs: number;
  tags: readonly string[];
}

/** A value as its owner has it. Times are durations: only the owner's clock counts. */
export interface Held {
  value: Uint8Array;
  ageMs: number;
  /** How long the owner will keep it still. */
  leftMs: number;
  /** The number of the computation: a later one has a greater number. 0 if no owner gave it one. */
  version: number;
}

export interface Found extends Held {
  /** Whether it comes from this isolate's copy, from its owner, or has just been computed. */
  source: "copy" | "owner" | "computed";
}

export interface CacheStore {
  /** Returns what this isolate has a copy of, without asking anyone. */
  copyOf(key: string): Found | undefined;
  /** Returns what is stored. Never computes, and never waits for a computation. */
  find(key: string): Promise<Found | undefined>;
  /**
   * Returns what is stored, or computes it: one caller for all who ask. Where the owner fails or the
   * computation takes too long, each computes for itself.
   *
   * @param compute returns undefined where nothing may be stored; then those who wait get undefined
   * @param newerThan a value of this version, or an older one, counts as missing
   */
  lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan?: number,
  ): Promise<Found | undefined>;
  purge(key: string): Promise<void>;
}
