/**
 * Says in the log that counters were dropped to make room: seldom while it goes on, and once more
 * when it has ended, since the owner may be evicted then and forget it.
 */
import { log } from "../log.ts";

/** The least time between two warnings while it goes on. */
const INTERVAL_MS = 60_000;

export class DropWarning {
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  #warnedOf = 0;
  #lastDropped = 0;

  /**
   * @param dropped counters dropped until now
   * @param kept counters that are there
   * @returns whether some are left to be told of
   */
  tell(dropped: number, kept: number, nowMs: number): boolean {
    const goesOn = dropped !== this.#lastDropped;
    this.#lastDropped = dropped;
    if (dropped === this.#warnedOf) return false;
    if (goesOn && nowMs - this.#warnedAtMs < INTERVAL_MS) return true;
    log("warn", "counters-dropped", { dropped: dropped - this.#warnedOf, kept });
    this.#warnedOf = dropped;
    this.#warnedAtMs = nowMs;
    return false;
  }
}
