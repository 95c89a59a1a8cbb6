/** Each algorithm's decision, on a key that goes on spending. */
import type { Algorithm, Quota, State } from "../../../src/limit/algorithm.ts";
import { ALGORITHMS } from "../../../src/limit/algorithms.ts";
import { OPERATIONS, type Tasks, timed } from "./timing.ts";

const QUOTA: Quota = { limit: 100, windowMs: 60_000, capacity: 100 };
const START_MS = 1_800_000_000_000;
/** Between two checks: 1.2 times as many as may pass, so that both answers come up. */
const STEP_MS = 500;

export function algorithms(): Promise<Record<string, number>> {
  const tasks: Tasks = {};
  for (const [name, algorithm] of Object.entries<Algorithm>(ALGORITHMS)) {
    let state: State | undefined;
    let nowMs = START_MS;
    tasks[name] = () => {
      for (let n = 0; n < OPERATIONS; n++) {
        nowMs += STEP_MS;
        state = algorithm.decide(state, QUOTA, nowMs, 1).state;
      }
    };
  }
  return timed(tasks);
}
