/**
 * What each algorithm would make of some requests. Runs in the demo page: `npm run page` bundles
 * it, and what says durations, into `what-if.txt`.
 */
import type { State } from "../limit/algorithm.ts";
import { ALGORITHMS, type AlgorithmName } from "../limit/algorithms.ts";

/** What became of one request. */
export interface Fate {
  allowed: boolean;
  /** How long a leaky bucket holds it. */
  delayMs: number;
}

/** The algorithms that the page compares: `concurrency` asks how long requests take. */
export const COMPARED = Object.keys(ALGORITHMS).filter(
  (name): name is Exclude<AlgorithmName, "concurrency"> => name !== "concurrency",
);

/**
 * Decides requests of one client, each with a cost of 1.
 *
 * @param limit units in a window, from 1 on
 * @param timesMs when the requests come, ascending
 */
export function whatIf(
  name: AlgorithmName,
  limit: number,
  windowMs: number,
  timesMs: readonly number[],
): Fate[] {
  const quota = { limit, windowMs, capacity: limit };
  let state: State | undefined;
  return timesMs.map((atMs) => {
    const { allowed, delayMs, state: after } = ALGORITHMS[name].decide(state, quota, atMs, 1);
    state = after;
    return { allowed, delayMs };
  });
}
