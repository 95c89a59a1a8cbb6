/**
 * How many owners a region should have, by the load that they report. Pure: no clock, no calls.
 *
 * Owners report only while they are busy, so a quiet ring costs nothing. Its weakness: below half
 * of the high water, nobody knows how quiet a ring is, so it shrinks by halves.
 */

export interface ScalingLimits {
  /**
   * Checks a second that an owner takes before others join it; with 0 the load never changes a
   * ring.
   */
  highWater: number;
  minOwners: number;
  maxOwners: number;
}

/** Reports older than this say nothing about now. */
export const LOAD_FRESH_MS = 12_000;
/** How long no owner has been busy before some leave. */
export const QUIET_MS = 600_000;

/** More owners if the load asks for them, at most twice as many; else as many as there are. */
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

/** Half as many owners after a quiet time. That at most doubles the load of those that stay. */
export function ownersForQuiet(count: number, { highWater, minOwners }: ScalingLimits): number {
  if (highWater === 0) return count;
  return Math.min(count, Math.max(Math.ceil(count / 2), minOwners));
}
