/**
 * The only way to the runtime: clock, timers, and what outlives a request. It is passed in
 * everywhere, so that a test or the simulation can replace it.
 */
import { waitUntil } from "cloudflare:workers";

export interface Runtime {
  /** Milliseconds since the epoch. Inside an object this is the time at which the event arrived. */
  now(): number;
  wait(ms: number): Promise<void>;
  /** Runs a task once, `ms` milliseconds from now. Keeps an object in memory until then. */
  after(ms: number, task: () => Promise<void>): void;
  /** Keeps the request or the object alive until the task has ended, even if the client leaves. */
  keepAlive(task: Promise<unknown>): void;
}

/** The runtime of an isolate's requests. */
export const WORKERS = runtimeWith(waitUntil);

/** @param keepAlive the `waitUntil` of the object or request that the runtime belongs to */
export function runtimeWith(keepAlive: (task: Promise<unknown>) => void): Runtime {
  return {
    // Read anew each time: a test may put another clock in its place.
    now: () => Date.now(),
    wait: (ms) => scheduler.wait(ms),
    after: (ms, task) => void setTimeout(() => keepAlive(task()), ms),
    keepAlive,
  };
}
