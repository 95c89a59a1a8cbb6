/** Measures how many checks a second an owner decides, and whether to report that. */

const INTERVAL_MS = 2_000;

export class LoadMeter {
  #checks = 0;
  #before = 0;
  #startMs = 0;

  /** @returns whether an interval has ended since the last call, so that the rate is a new one */
  add(checks: number, nowMs: number): boolean {
    const isNew = this.#turn(nowMs);
    this.#checks += checks;
    return isNew;
  }

  /** Checks a second in the last whole interval. */
  rate(nowMs: number): number {
    this.#turn(nowMs);
    return this.#before / (INTERVAL_MS / 1_000);
  }

  #turn(nowMs: number): boolean {
    const passedMs = nowMs - this.#startMs;
    if (passedMs < INTERVAL_MS) return false;
    this.#before = passedMs < 2 * INTERVAL_MS ? this.#checks : 0;
    this.#checks = 0;
    this.#startMs = nowMs;
    return true;
  }
}

/** Returns true if an owner is so busy that it reports its load. */
export function isBusy(checksPerSecond: number, highWater: number): boolean {
  return highWater > 0 && checksPerSecond > highWater / 2;
}
