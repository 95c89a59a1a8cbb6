/** What a caller needs of the runtime, handed in so that a simulation can put its own in place. */
import { waitUntil } from "cloudflare:workers";

export interface Platform {
  /** Milliseconds since the epoch. */
  now(): number;
  wait(ms: number): Promise<void>;
  /** Keeps the request alive until the task has ended, even if its client goes away. */
  keepAlive(task: Promise<unknown>): void;
}

export const RUNTIME: Platform = {
  now: () => Date.now(),
  wait: (ms) => scheduler.wait(ms),
  keepAlive: waitUntil,
};
