/** Values of the cache, and their bounds. */
import * as v from "valibot";

/** The longest that a value is kept. */
export const MAX_KEPT_MS = 7 * 86_400_000;

/** The most bytes of a value. */
export const MAX_VALUE_BYTES = 1_048_576;

/** A number among the tags would break the bound on an owner's bytes. */
export const tagsSchema = v.array(v.string("must be text"), "must be a list of names");

/** The result of a computation. */
export interface Computed {
  value: Uint8Array;
  /** How long the value is kept. */
  ttlMs: number;
  tags: readonly string[];
}

/** A value as its owner has it. Times are durations: only the owner's clock counts. */
export interface Held {
  value: Uint8Array;
  ageMs: number;
  /** How much longer the owner keeps it. */
  leftMs: number;
  /** The computation's number, higher for later ones. 0 if no owner gave it a number. */
  version: number;
}

export interface Found extends Held {
  /** Where the value comes from: this isolate's copy, its owner, or a computation just now. */
  source: "copy" | "owner" | "computed";
}

export interface CacheStore {
  /** Returns this isolate's copy, without asking an owner. */
  copyOf(key: string): Found | undefined;
  /** Returns what is stored. Never computes, and never waits for a computation. */
  find(key: string): Promise<Found | undefined>;
  /**
   * Returns what is stored, or computes it: one caller for all who ask. If the owner fails or the
   * computation takes too long, each caller computes for itself.
   *
   * @param compute returns undefined if nothing may be stored; then those who wait get undefined
   * @param newerThan a value of this version, or an older one, counts as missing
   */
  lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan?: number,
  ): Promise<Found | undefined>;
  purge(key: string): Promise<void>;
}
