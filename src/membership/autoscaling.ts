/**
 * How many owners a region should have, from the load that they report. Pure: no clock, no calls.
 *
 * Owners report only while they are busy, so a quiet ring costs nothing; a ring that is evenly
 * less than half full is never seen to be emptier than that, and shrinks by halves.
 */

export interface ScalingLimits {
  /** Checks a second that an owner takes before others join it; 0 never changes the ring. */
  highWater: number;
  minOwners: number;
  maxOwners: number;
}

/** Reports older than that say nothing about now. */
export const LOAD_FRESH_MS = 12_000;
/** How long nobody has been busy before owners leave. */
export const QUIET_MS = 600_000;

/** More owners if the load asks for them, never more than twice as many; else as many as there are. */
export function ownersForLoad(
  count: number,
  checksPerSecond: readonly number[],
  { highWater, maxOwners }: ScalingLimits,
): number {
  const total = checksPerSecond.reduce((sum, each) => sum + each, 0);
  // By the average: where one key is hot, other owners can't help.
  if (highWater === 0 || total / count <= highWater) return count;
  return Math.max(count, Math.min(Math.ceil(total / highWater), 2 * count, maxOwners));
}

/** Half as many owners after a quiet time, which then at most doubles the load of the rest. */
export function ownersForQuiet(count: number, { highWater, minOwners }: ScalingLimits): number {
  if (highWater === 0) return count;
  return Math.min(count, Math.max(Math.ceil(count / 2), minOwners));
}
