/** A runtime for what a test drives by hand: a clock, waits that are real, and no timer that fires. */
import type { Runtime } from "../src/runtime.ts";

export const STILL: Runtime = {
  now: () => Date.now(),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  after: () => {},
  keepAlive: () => {},
};
