/** A clock that stands still until a test moves it, and the waits that end as it passes them. */
import { durationSchema } from "../limit/duration.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import type { Runtime } from "../runtime.ts";

/** A Thursday at midnight UTC, when aligned windows of a minute, hour, day or week begin. */
const START_MS = Date.UTC(2026, 0, 1);
const MAX_STEP_MS = 100 * 366 * 86_400_000;

/** The real timer, taken as this module loads: a test may install fake timers later. */
const { setTimeout } = globalThis;

/** The clock of the test kit. */
export interface Clock {
  /** Milliseconds since the epoch. Begins at 2026-01-01T00:00:00Z, a Thursday. */
  now(): number;
  /**
   * Moves the clock on, by `"90s"` or by milliseconds. Requests that are held until then go on, so
   * await it.
   */
  advance(duration: string | number): Promise<void>;
  /**
   * Moves the clock on to a time: a `Date`, its text, or milliseconds since the epoch.
   *
   * @throws {MisuseError} if the time is earlier than now
   */
  set(time: Date | string | number): Promise<void>;
}

interface Wait {
  atMs: number;
  end: () => void;
}

export class TestClock implements Clock {
  #nowMs = START_MS;
  #waits: Wait[] = [];

  readonly runtime: Runtime = {
    now: () => this.#nowMs,
    wait: (ms, end) => this.#wait(ms, end instanceof AbortSignal ? end : undefined),
    after: (ms, task) => void this.#wait(ms).then(task),
    keepAlive: () => {},
  };

  now(): number {
    return this.#nowMs;
  }

  async advance(duration: string | number): Promise<void> {
    if (typeof duration === "string") {
      return this.#passUntil(
        this.#nowMs + parse(durationSchema(0, MAX_STEP_MS), duration, "duration"),
      );
    }
    if (duration >= 0 && duration <= MAX_STEP_MS) return this.#passUntil(this.#nowMs + duration);
    throw new MisuseError(
      "duration",
      'must be a text such as "90s", or milliseconds from 0 on',
      duration,
    );
  }

  async set(time: Date | string | number): Promise<void> {
    const atMs = new Date(time).getTime();
    if (Number.isNaN(atMs)) {
      const rule =
        'must be a Date, a text such as "2026-01-01T12:00:00Z", or milliseconds since the epoch';
      throw new MisuseError("time", rule, time);
    }
    if (atMs >= this.#nowMs) return this.#passUntil(atMs);
    const now = new Date(this.#nowMs).toISOString();
    throw new MisuseError(
      "time",
      `must be ${now}, which it is now, or later: reset() the kit to begin anew`,
      time,
    );
  }

  /** Sets the clock back to its start, and ends all waits. */
  reset(): void {
    this.#nowMs = START_MS;
    for (const { end } of this.#waits.splice(0)) end();
  }

  /** Ends the waits that are over by then, one after the other, each at its own time. */
  async #passUntil(endMs: number): Promise<void> {
    // Code that the test has started must get as far as its waits first.
    await turn();
    for (;;) {
      const next = this.#waits[0];
      if (!next || next.atMs > endMs) break;
      this.#waits.shift();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.end();
      await turn();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  #wait(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const wait = { atMs: this.#nowMs + ms, end: resolve };
      this.#waits.push(wait);
      this.#waits.sort((a, b) => a.atMs - b.atMs);
      signal?.addEventListener("abort", () => {
        this.#waits = this.#waits.filter((each) => each !== wait);
        reject(signal.reason);
      });
    });
  }
}

/** Resolves once all code that can run now has run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
