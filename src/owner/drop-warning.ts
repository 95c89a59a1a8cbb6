/**
 * Logs that counters were evicted: seldom while it goes on, and once more when it has ended. The
 * owner's object may be evicted after that, and forget what it has not logged.
 */
import { log } from "../log.ts";

/** The least time between two warnings while it goes on. */
const INTERVAL_MS = 60_000;

/** Is told how many counters were evicted since it was last told. */
export type OnEvicted = (count: number) => void;

export class DropWarning {
  readonly #onEvicted: OnEvicted | undefined;
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  #warnedOf = 0;
  #lastDropped = 0;

  constructor(onEvicted?: OnEvicted) {
    this.#onEvicted = onEvicted;
  }

  /**
   * @param dropped counters evicted until now
   * @param kept counters that are there
   * @returns whether some evictions are yet to be logged
   */
  tell(dropped: number, kept: number, nowMs: number): boolean {
    const goesOn = dropped !== this.#lastDropped;
    this.#lastDropped = dropped;
    if (dropped === this.#warnedOf) return false;
    if (goesOn && nowMs - this.#warnedAtMs < INTERVAL_MS) return true;
    this.#onEvicted?.(dropped - this.#warnedOf);
    log("warn", "counters-dropped", { dropped: dropped - this.#warnedOf, kept });
    this.#warnedOf = dropped;
    this.#warnedAtMs = nowMs;
    return false;
  }
}
