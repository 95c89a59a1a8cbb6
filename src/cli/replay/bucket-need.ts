/**
 * The limit that one key needs, so that a bucket denies none of its requests. The burst keeps its
 * ratio to the limit.
 *
 * From any request to any later one, as many units may come as the bucket holds, and as drain
 * between the two: limit × (ratio + time / window). So the limit is the most that two requests of
 * the key ask for. Most requests can no longer be the first of such two, and are forgotten.
 */

/** More are hardly ever left. Then the limit may come out too low. */
const MAX_STARTS = 16;

/** A request, and the units that came before it. */
interface Start {
  atMs: number;
  units: number;
}

export class BucketNeed {
  readonly #ratio: number;
  readonly #windowMs: number;
  /** In order of time. From each to the next, units come faster than from the one before. */
  readonly #starts: Start[] = [];
  #units = 0;
  #limit = 0;

  /** @param ratio of the burst to the limit */
  constructor(ratio: number, windowMs: number) {
    this.#ratio = ratio;
    this.#windowMs = windowMs;
  }

  /**
   * Takes a request, no earlier than the last one.
   *
   * @param isCharged whether the request keeps its cost; it needs room for it in any case
   * @returns the limit that all requests so far need; no whole number
   */
  take(atMs: number, cost: number, isCharged: boolean): number {
    this.#start({ atMs, units: this.#units });
    const asked = this.#units + cost;
    for (const { atMs: startMs, units } of this.#starts) {
      const needed = (asked - units) / (this.#ratio + (atMs - startMs) / this.#windowMs);
      this.#limit = Math.max(this.#limit, needed);
    }
    if (isCharged) this.#units = asked;
    return this.#limit;
  }

  #start(start: Start): void {
    const starts = this.#starts;
    // At the same time, the first one has all units of the others behind it.
    if (starts.at(-1)?.atMs === start.atMs) return;
    while (starts.length > 1 && this.#pace(-1, start) <= this.#pace(-2, starts.at(-1)))
      starts.pop();
    starts.push(start);
    // The bucket has drained by the next one.
    while (starts.length > 1 && this.#pace(0, starts[1]) <= this.#limit) starts.shift();
    if (starts.length > MAX_STARTS) starts.splice(1, 1);
  }

  /** Units in a window, from one start to a later one. */
  #pace(from: number, to = this.#starts.at(-1) as Start): number {
    const { atMs, units } = this.#starts.at(from) as Start;
    return ((to.units - units) / (to.atMs - atMs)) * this.#windowMs;
  }
}
