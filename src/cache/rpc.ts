/** What isolates say to the object that owns cached values. */
import type { Computed, Held } from "./value.ts";

export type LookedUp =
  | { kind: "held"; held: Held }
  /** The caller is to compute the value, under this fencing number. */
  | { kind: "lease"; fence: number }
  /** Another computes it: see `wait`. */
  | { kind: "busy" };

export type Waited =
  | { kind: "held"; held: Held }
  /** There is nothing to keep: each has to compute for itself. */
  | { kind: "nothing" }
  /** The key was purged meanwhile, or nobody computes it any more: look it up again. */
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
   * @returns false for a value that comes too late, or was purged meanwhile: it is dropped
   */
  put(key: string, fence: number, computed: Computed | undefined): boolean;
  purge(key: string): void;
  purgeTag(tag: string): void;
}
