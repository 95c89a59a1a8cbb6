/**
 * The requests that this isolate holds: how many wait, and for what.
 *
 * Nobody's place is kept for longer than its wait, even if its request has ended and nobody said so:
 * without `enable_request_signal` the runtime does not.
 */

/** The most requests that are held at once; at about 5 KB each, 5 MB of the isolate's 128. */
export const MAX_HELD = 1_000;
/** Of those that are held, how many wake within one millisecond. */
const WAKES_PER_MS = 4;

interface Place {
  /** What it waits for: units, by quota. */
  awaited: ReadonlyMap<string, number>;
  untilMs: number;
}

export class WaitingRoom {
  readonly #places = new Set<Place>();

  /** Units that those wait for who wait for this quota. */
  unitsAhead(quota: string, nowMs: number): number {
    let units = 0;
    for (const place of this.#places) {
      if (place.untilMs <= nowMs) this.#places.delete(place);
      else units += place.awaited.get(quota) ?? 0;
    }
    return units;
  }

  /** How much later the next one wakes, so that not all wake in one millisecond. */
  get spreadMs(): number {
    return Math.floor(this.#places.size / WAKES_PER_MS);
  }

  /**
   * Takes a place; undefined if there is none.
   *
   * @param awaited units that it waits for, by quota
   * @returns what leaves it
   */
  enter(
    awaited: ReadonlyMap<string, number>,
    nowMs: number,
    waitMs: number,
  ): (() => void) | undefined {
    if (this.#places.size >= MAX_HELD) {
      for (const place of this.#places) if (place.untilMs <= nowMs) this.#places.delete(place);
    }
    if (this.#places.size >= MAX_HELD) return undefined;
    const place = { awaited, untilMs: nowMs + waitMs };
    this.#places.add(place);
    return () => this.#places.delete(place);
  }
}
