/**
 * How many owners a region should have, by the load that they report. Pure: no clock, no calls.
 *
 * Owners report only while they are busy, so a quiet ring costs nothing. The weakness: below half
 * of the high water, nobody knows how quiet a ring is, so it shrinks by halves.
 */

export interface ScalingLimits {
  /**
   * Checks a second above which more owners join, an average over the ring's owners. With 0 the
   * load never changes a ring.
   */
  highWater: number;
  minOwners: number;
  maxOwners: number;
}

/** How long a report counts. */
export const LOAD_FRESH_MS = 12_000;
/** How long all owners must have been idle before some leave. */
export const QUIET_MS = 600_000;

/** Returns more owners if the load needs them, at most twice as many; else as many as there are. */
export function ownersForLoad(
  count: number,
  checksPerSecond: readonly number[],
  { highWater, maxOwners }: ScalingLimits,
): number {
  const total = checksPerSecond.reduce((sum, each) => sum + each, 0);
  // The average decides: if one key is hot, other owners can't help.
  if (highWater === 0 || total / count <= highWater) return count;
  return Math.max(count, Math.min(Math.ceil(total / highWater), 2 * count, maxOwners));
}

/** Returns half as many owners, after a quiet time. The load of each one left at most doubles. */
export function ownersForQuiet(count: number, { highWater, minOwners }: ScalingLimits): number {
  if (highWater === 0) return count;
  return Math.min(count, Math.max(Math.ceil(count / 2), minOwners));
}
