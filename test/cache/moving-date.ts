/** A date that tests of the cache move, and a moment for what runs behind an answer. */
import { afterEach, beforeEach, vi } from "vitest";

/** To be called once in a test file. @returns what moves the date on */
export function movingDate(): (ms: number) => void {
  let nowMs = Date.UTC(2036, 10, 22, 12);
  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: nowMs }));
  afterEach(() => void vi.useRealTimers());
  return (ms) => {
    nowMs += ms;
    vi.setSystemTime(nowMs);
  };
}

/** Lets what runs behind an answer come to its end. */
export const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
