/**
 * The only way to the runtime: clock, timers, and what outlives a request. It is passed in
 * everywhere, so that a test or the simulation can replace it.
 */
import { Clock } from "./clock.ts";

export interface Runtime {
  /** Milliseconds since the epoch. Inside an object this is the time at which the event arrived. */
  now(): number;
  /**
   * Resolves after `ms`.
   *
   * @param end a signal that makes it reject at once, or a promise: once that has settled, nobody
   *   waits any more, and it need not resolve
   */
  wait(ms: number, end?: AbortSignal | Promise<unknown>): Promise<void>;
  /** Runs a task once, `ms` milliseconds from now. Keeps an object in memory until then. */
  after(ms: number, task: () => Promise<void>): void;
  /** Keeps the request or the object alive until the task has ended, even if the client leaves. */
  keepAlive(task: Promise<unknown>): void;
}

/** The runtime of an isolate's requests. `workers.ts` or the test kit sets what keeps them alive. */
export let WORKERS = runtimeWith(() => {});

/** Has an isolate's requests run on another runtime. Returns the one before. */
export function runOn(runtime: Runtime): Runtime {
  const before = WORKERS;
  WORKERS = runtime;
  return before;
}

/** @param keepAlive the `waitUntil` of the object or request that the runtime belongs to */
export function runtimeWith(keepAlive: (task: Promise<unknown>) => void): Runtime {
  return {
    // Read anew each time: a test may put another clock in its place.
    now: () => Date.now(),
    wait: (ms, end) => {
      if (!end || end instanceof AbortSignal) return scheduler.wait(ms, end && { signal: end });
      // The scheduler's wait would stay pending, and the runtime keep what belongs to it.
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        const clear = () => clearTimeout(timer);
        end.then(clear, clear);
      });
    },
    after: (ms, task) => void setTimeout(() => keepAlive(task()), ms),
    keepAlive,
  };
}

/**
 * Returns the runtime with a clock that never runs backwards, for what measures how long ago
 * something was. Dates and alarms go by the machine's clock.
 */
export function steady(runtime: Runtime): Runtime {
  const clock = new Clock(runtime);
  return { ...runtime, now: () => clock.now() };
}
