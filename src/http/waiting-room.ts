/**
 * The requests that this isolate holds: how many wait, and for what.
 *
 * A place is free again when its wait is over, even if its request has not left it. Without
 * `enable_request_signal`, the runtime does not tell that a client has left.
 */

/**
 * The most requests that are held at once. At about 5 KB each they take 5 of the isolate's 128 MB.
 */
export const MAX_HELD = 1_000;
/** The most held requests that wake within one millisecond. */
const WAKES_PER_MS = 4;

interface Place {
  /** Units that the request waits for, by quota. */
  awaited: ReadonlyMap<string, number>;
  untilMs: number;
}

export class WaitingRoom {
  readonly #places = new Set<Place>();

  /** Returns the units that all held requests wait for in this quota. */
  unitsAhead(quota: string, nowMs: number): number {
    let units = 0;
    for (const place of this.#places) {
      if (place.untilMs <= nowMs) this.#places.delete(place);
      else units += place.awaited.get(quota) ?? 0;
    }
    return units;
  }

  /** How much later the next request wakes, so that not all wake in one millisecond. */
  get spreadMs(): number {
    return Math.floor(this.#places.size / WAKES_PER_MS);
  }

  /**
   * Takes a place.
   *
   * @param awaited units that the request waits for, by quota
   * @returns the function that leaves the place; undefined if the room is full
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
