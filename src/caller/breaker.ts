/**
 * Skips an owner that has failed several times in a row, so that no request waits for it.
 *
 * Counts for this isolate alone; each isolate learns for itself.
 */

/** Failures in a row after which an owner is skipped. */
export const MAX_FAILURES = 3;
/** How long an owner is skipped before one request tries it again. */
export const OPEN_MS = 1_000;

interface Streak {
  failures: number;
  /** Until then the owner is skipped, ms since the epoch. */
  openUntilMs: number;
}

export class Breaker {
  /** Owners whose last call failed. */
  readonly #streaks = new Map<string, Streak>();

  /** May this owner be called? While it is skipped, one caller in each `OPEN_MS` hears yes. */
  admits(owner: string, nowMs: number): boolean {
    const streak = this.#streaks.get(owner);
    if (!streak || streak.failures < MAX_FAILURES) return true;
    if (nowMs < streak.openUntilMs) return false;
    streak.openUntilMs = nowMs + OPEN_MS;
    return true;
  }

  succeeded(owner: string): void {
    this.#streaks.delete(owner);
  }

  /** @returns how many times in a row the owner has failed now */
  failed(owner: string, nowMs: number): number {
    const failures = (this.#streaks.get(owner)?.failures ?? 0) + 1;
    this.#streaks.set(owner, { failures, openUntilMs: nowMs + OPEN_MS });
    return failures;
  }
}
