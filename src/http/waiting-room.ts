/**
 * The requests that this isolate holds: how many wait, and for what.
 *
 * A seat is free again when its wait is over, even if its request has not left it. Without
 * `enable_request_signal`, the runtime does not tell that a client has left.
 */

/**
 * The most requests that are held at once. At about 5 KB each they take 5 of the isolate's 128 MB.
 */
export const MAX_HELD = 1_000;
/** The most held requests that wake within one millisecond. */
const WAKES_PER_MS = 4;

interface Seat {
  /** Units that the request waits for, by quota. */
  awaited: ReadonlyMap<string, number>;
  untilMs: number;
}

export class WaitingRoom {
  readonly #seats = new Set<Seat>();

  /** Returns the units that all held requests wait for in this quota. */
  unitsAhead(quota: string, nowMs: number): number {
    let units = 0;
    for (const seat of this.#seats) {
      if (seat.untilMs <= nowMs) this.#seats.delete(seat);
      else units += seat.awaited.get(quota) ?? 0;
    }
    return units;
  }

  /** How much later the next request wakes, so that not all wake in one millisecond. */
  get spreadMs(): number {
    return Math.floor(this.#seats.size / WAKES_PER_MS);
  }

  /**
   * Takes a seat.
   *
   * @param awaited units that the request waits for, by quota
   * @returns the function that leaves the seat; undefined if the room is full
   */
  enter(
    awaited: ReadonlyMap<string, number>,
    nowMs: number,
    waitMs: number,
  ): (() => void) | undefined {
    if (this.#seats.size >= MAX_HELD) {
      for (const seat of this.#seats) if (seat.untilMs <= nowMs) this.#seats.delete(seat);
    }
    if (this.#seats.size >= MAX_HELD) return undefined;
    const seat = { awaited, untilMs: nowMs + waitMs };
    this.#seats.add(seat);
    return () => this.#seats.delete(seat);
  }
}
