/**
 * Logs that counters were evicted, at most once a minute. Until the next line is due, the object
 * stays in memory: if the runtime evicted it, the count for that line would be lost.
 */
import { log } from "../log.ts";

/** The least time between two lines. */
const INTERVAL_MS = 60_000;

/** Called with the number of counters evicted since the last call. */
export type OnEvicted = (count: number) => void;

export class DropWarning {
  readonly #onEvicted: OnEvicted | undefined;
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  #warnedOf = 0;

  constructor(onEvicted?: OnEvicted) {
    this.#onEvicted = onEvicted;
  }

  /**
   * @param dropped counters evicted until now
   * @param kept counters that are there
   * @returns whether some evictions are yet to be logged
   */
  tell(dropped: number, kept: number, nowMs: number): boolean {
    if (dropped === this.#warnedOf) return false;
    if (nowMs - this.#warnedAtMs < INTERVAL_MS) return true;
    this.#onEvicted?.(dropped - this.#warnedOf);
    log("warn", "counters-dropped", { dropped: dropped - this.#warnedOf, kept });
    this.#warnedOf = dropped;
    this.#warnedAtMs = nowMs;
    return false;
  }
}
