/**
 * How long checks wait while an owner's keys are written to disk, against an owner that rests.
 *
 * Checks arrive by the clock, whether the one before is done or not: what waits behind a pause
 * counts as late. The storage is a copy in memory, so what is measured is the owner's own work.
 */
import { setImmediate as turn } from "node:timers/promises";
import { percentile } from "../statistics.ts";
import { endless, keys } from "./keys.ts";
import { ownerOf, POLICIES } from "./owners.ts";

const CHECKS_PER_MS = 5;

/** @returns milliseconds */
export async function checkpoint(
  count: number,
  measuredMs: number,
): Promise<Record<string, number>> {
  const all = keys(count);
  const { owner, later } = ownerOf(all);
  const key = endless(all);
  const p999 = async () => {
    const lateMs: number[] = [];
    const startMs = performance.now();
    while (lateMs.length < measuredMs * CHECKS_PER_MS) {
      await turn();
      const dueMs = () => startMs + lateMs.length / CHECKS_PER_MS;
      while (dueMs() <= performance.now()) {
        const arrivedMs = dueMs();
        owner.check([{ key: key(), policies: POLICIES }]);
        lateMs.push(performance.now() - arrivedMs);
      }
    }
    return percentile(lateMs, 0.999);
  };
  await p999();
  const resting = await p999();
  const [writing] = await Promise.all([p999(), later()]);
  return { "p99.9 of checks, resting": resting, "p99.9 of checks, checkpointing": writing };
}
