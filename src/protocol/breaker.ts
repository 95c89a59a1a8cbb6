/**
 * Skips an owner that has failed several times in a row, so that no request waits for it.
 *
 * Counts for this isolate alone; each isolate learns for itself.
 */

/** Failures in a row after which an owner is skipped. */
export const MAX_FAILURES = 3;
/**
 * Late answers in such a row after which an owner is skipped. Each makes its callers wait for the
 * whole deadline, so fewer are enough.
 */
export const MAX_LATE = 2;
/** How long an owner is skipped before one request tries it again. */
export const OPEN_MS = 1_000;

interface Streak {
  failures: number;
  /** How many of the failures had no answer in time. */
  late: number;
  /** When a skipped owner is tried again, ms since the epoch. */
  openUntilMs: number;
}

export class Breaker {
  /** Owners whose last call failed. */
  readonly #streaks = new Map<string, Streak>();

  /** Returns true if the owner may be called: while it is skipped, by one caller in `OPEN_MS`. */
  admits(owner: string, nowMs: number): boolean {
    const streak = this.#streaks.get(owner);
    if (!streak || !isOpen(streak)) return true;
    if (nowMs < streak.openUntilMs) return false;
    streak.openUntilMs = nowMs + OPEN_MS;
    return true;
  }

  succeeded(owner: string): void {
    this.#streaks.delete(owner);
  }

  /** @returns how many times in a row the owner has now failed, and whether it is skipped */
  failed(owner: string, nowMs: number, isLate: boolean): { failures: number; isSkipped: boolean } {
    const { failures = 0, late = 0 } = this.#streaks.get(owner) ?? {};
    const streak = {
      failures: failures + 1,
      late: late + (isLate ? 1 : 0),
      openUntilMs: nowMs + OPEN_MS,
    };
    this.#streaks.set(owner, streak);
    return { failures: streak.failures, isSkipped: isOpen(streak) };
  }
}

function isOpen({ failures, late }: Streak): boolean {
  return failures >= MAX_FAILURES || late >= MAX_LATE;
}
