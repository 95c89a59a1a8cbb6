/** Times small functions with tinybench: what one operation takes, in nanoseconds. */
import { Bench } from "tinybench";

/** A name for each function, which does as many operations as `timed` is told. */
export type Tasks = Record<string, () => unknown>;

/** Operations in one call of a task, so that reading the clock does not count. */
export const OPERATIONS = 1_000;

let timeMs = 500;

/** Sets how long each task runs; 500 ms until then. */
export function setTime(ms: number): void {
  timeMs = ms;
}

/**
 * Runs the tasks one after the other.
 *
 * @returns the median of each, ns for one operation
 */
export async function timed(
  tasks: Tasks,
  operations = OPERATIONS,
): Promise<Record<string, number>> {
  const bench = new Bench({ time: timeMs, warmupTime: timeMs / 4, throws: true });
  for (const [name, task] of Object.entries(tasks)) bench.add(name, task);
  await bench.run();
  return Object.fromEntries(
    bench.tasks.map(({ name, result }) => {
      if (result.state !== "completed") throw new Error(`${name}: ${result.state}`);
      return [name, (result.latency.p50 * 1e6) / operations];
    }),
  );
}
