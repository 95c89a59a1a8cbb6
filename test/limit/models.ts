/** Slow models of the algorithms' rules, which keep every event. */
import type { Quota } from "../../src/limit/algorithm.ts";
import type { AlgorithmName } from "../../src/limit/algorithms.ts";

export interface Event {
  atMs: number;
  cost: number;
}

const sum = (events: Event[]) => events.reduce((total, { cost }) => total + cost, 0);

/**
 * Returns true if a cost may pass, given all that has passed. In whole numbers throughout, so that
 * the model has no rounding of its own.
 */
export const MODELS: Record<AlgorithmName, (passed: Event[], quota: Quota, now: Event) => boolean> =
  {
    "fixed-window": (passed, { limit, windowMs }, { atMs, cost }) => {
      const windowOf = (ms: number) => Math.floor(ms / windowMs);
      return sum(passed.filter((event) => windowOf(event.atMs) === windowOf(atMs))) + cost <= limit;
    },
    "sliding-window": (passed, { limit, windowMs }, { atMs, cost }) => {
      const startMs = Math.floor(atMs / windowMs) * windowMs;
      const current = sum(passed.filter((event) => event.atMs >= startMs));
      const previous = sum(
        passed.filter((event) => event.atMs >= startMs - windowMs && event.atMs < startMs),
      );
      const overlapMs = windowMs - (atMs - startMs);
      return previous * overlapMs + (current + cost) * windowMs <= limit * windowMs;
    },
    "sliding-log": (passed, { limit, windowMs }, { atMs, cost }) =>
      sum(passed.filter((event) => event.atMs > atMs - windowMs)) + cost <= limit,
    // Slots are never given back here, so each is held for a window.
    concurrency: (passed, { limit, windowMs }, { atMs, cost }) =>
      sum(passed.filter((event) => event.atMs > atMs - windowMs)) + cost <= limit,
    "token-bucket": bucketModel,
    "leaky-bucket": bucketModel,
  };

/** Over every span that ends now, only what the bucket holds and what has drained may pass. */
function bucketModel(
  passed: Event[],
  { limit, windowMs, capacity }: Quota,
  { atMs, cost }: Event,
): boolean {
  const spans = [...passed.map((event) => event.atMs), atMs];
  return spans.every((fromMs) => {
    const poured = sum(passed.filter((event) => event.atMs >= fromMs)) + cost;
    return poured * windowMs <= capacity * windowMs + (atMs - fromMs) * limit;
  });
}
