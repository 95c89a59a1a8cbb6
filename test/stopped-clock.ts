/** A date that stands still while a test runs, unless the test moves it. */
import { afterEach, beforeEach, vi } from "vitest";

interface StoppedClock {
  /** When the first test would begin; each begins later. Default noon, so that no window ends. */
  fromMs?: number;
  /** How much later each test is than the one before. Default two hours. */
  laterMs?: number;
}

/**
 * Stops the date in each test of a file, later than in the one before: an owner's clock never runs
 * backwards. Also restores what a test has mocked.
 *
 * @returns what reads the date at which a test begins
 */
export function useStoppedClock({
  fromMs = Date.UTC(2036, 10, 22, 12),
  laterMs = 7_200_000,
}: StoppedClock = {}): () => number {
  let nowMs = fromMs;
  beforeEach(() => {
    nowMs += laterMs;
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
  return () => nowMs;
}
