/**
 * A clock that never runs backwards. If the machine's clock is set back, this one runs on from where
 * it was: if it stood still, no window would end until the machine's has caught up.
 */
import { logSeldom } from "./log.ts";

/**
 * The most that the clocks of owners may differ. If a machine's clock is behind by less, this one
 * stands still until the machine's has caught up.
 */
const MOST_SKEW_MS = 1_000;

export class Clock {
  readonly #machine: { now(): number };
  #nowMs = 0;
  /** How far this clock runs ahead of the machine's, after that was set back. */
  #aheadMs = 0;

  constructor(machine: { now(): number }) {
    this.#machine = machine;
  }

  /** Returns the time. Logs if the machine's clock was set back since the last call. */
  now(): number {
    const machineMs = this.#machine.now();
    const behindMs = this.#nowMs - machineMs;
    if (behindMs <= MOST_SKEW_MS) this.#aheadMs = 0;
    else if (behindMs - this.#aheadMs > MOST_SKEW_MS) {
      this.#aheadMs = behindMs;
      logSeldom("warn", "clock-set-back", "", { byMs: behindMs });
    }
    this.#nowMs = Math.max(this.#nowMs, machineMs + this.#aheadMs);
    return this.#nowMs;
  }

  /** Goes on from where an owner's clock was before a restart. Returns the time. */
  resume(lastMs: number): number {
    this.#nowMs = lastMs;
    return this.now();
  }

  /** Catches up with another owner's clock, which may run ahead: no clock was set back. */
  follow(otherMs: number): void {
    this.#nowMs = Math.max(this.now(), otherMs);
    this.#aheadMs = this.#nowMs - this.#machine.now();
  }
}
