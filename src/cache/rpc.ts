/** What isolates say to the object that owns cached values. */
import type { Computed, Held } from "./value.ts";

export type LookedUp =
  | { kind: "held"; held: Held }
  /** The caller must compute the value, under this fencing number. */
  | { kind: "lease"; fence: number }
  /** Another caller computes it: see `wait`. */
  | { kind: "busy" };

export type Waited =
  | { kind: "held"; held: Held }
  /** The computation made nothing to keep: each caller has to compute for itself. */
  | { kind: "nothing" }
  /** The key was purged meanwhile, or has no lease any more: look it up again. */
  | { kind: "purged" };

export interface CacheRpc {
  find(key: string): Held | undefined;
  /** @param newerThan a value of this version, or an older one, counts as missing */
  lookUp(key: string, newerThan: number): LookedUp;
  /** Resolves when the value is computed, or the lease is over. */
  wait(key: string, newerThan: number): Promise<Waited>;
  /**
   * Ends a lease.
   *
   * @returns false if the value is dropped: it came too late, is too large, or was purged meanwhile
   */
  put(key: string, fence: number, computed: Computed | undefined): boolean;
  purge(key: string): void;
  purgeTag(tag: string): void;
}
