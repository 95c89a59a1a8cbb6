/**
 * An owner's clock, which never runs backwards. If the machine's was ahead and is set back, time
 * goes on from where it was: if time stood still, no window would end meanwhile.
 */
import { logSeldom } from "../log.ts";
import type { Runtime } from "../runtime.ts";

/**
 * By how much the clocks of owners may differ. An owner that is behind by less lets its time stand
 * still until its clock has caught up.
 */
const MOST_SKEW_MS = 1_000;

export class Clock {
  readonly #runtime: Pick<Runtime, "now">;
  #nowMs = 0;
  /** By how much this clock is ahead of the machine's, which was set back. */
  #aheadMs = 0;

  constructor(runtime: Pick<Runtime, "now">) {
    this.#runtime = runtime;
  }

  /** @param leastMs a time that another clock of these counters has already reached */
  now(leastMs = 0): number {
    const machineMs = this.#runtime.now();
    const behindMs = this.#nowMs - machineMs;
    if (behindMs <= MOST_SKEW_MS) this.#aheadMs = 0;
    else if (behindMs - this.#aheadMs > MOST_SKEW_MS) {
      this.#aheadMs = behindMs;
      logSeldom("warn", "clock-set-back", "", { byMs: behindMs });
    }
    this.#nowMs = Math.max(this.#nowMs, machineMs + this.#aheadMs, leastMs);
    return this.#nowMs;
  }
}
