/** Says in the log that counters were dropped to make room: seldom, since it may go on for long. */

/** The least time between two warnings. */
const INTERVAL_MS = 60_000;

export class DropWarning {
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  #warnedOf = 0;

  /**
   * @param dropped counters dropped until now
   * @param kept counters that are there
   */
  tell(dropped: number, kept: number, nowMs: number): void {
    if (dropped === this.#warnedOf || nowMs - this.#warnedAtMs < INTERVAL_MS) return;
    const event = { event: "counters-dropped", dropped: dropped - this.#warnedOf, kept };
    console.warn(JSON.stringify(event));
    this.#warnedOf = dropped;
    this.#warnedAtMs = nowMs;
  }
}
