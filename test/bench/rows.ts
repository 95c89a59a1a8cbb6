/**
 * Storage rows that an owner writes and deletes in an hour under an even load: both are paid for.
 *
 * Counted on a clock that is set, so it comes out the same on any machine.
 */
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { checkOf } from "./check-of.ts";
import { SqliteStorage } from "./sqlite-storage.ts";

const STEP_MS = 100;
const STEPS_A_SECOND = 1_000 / STEP_MS;
const SECONDS_AN_HOUR = 3_600;
/** Simulated before any row is counted: by then each key has been asked three times. */
const WARM_UP_ROUNDS = 3;
const COUNTED_SECONDS = 600;

/** @param keys that checks ask about, evenly and at random */
export async function rowsAnHour(keys: number, checksASecond: number): Promise<number> {
  const storage = new SqliteStorage(":memory:");
  let nowMs = Date.UTC(2026, 0);
  let tasks: { atMs: number; task: () => Promise<void> }[] = [];
  const after = (ms: number, task: () => Promise<void>) =>
    void tasks.push({ atMs: nowMs + ms, task });
  const owner = new Owner({ runtime: { ...STILL, now: () => nowMs, after }, storage });
  await owner.load();
  const run = async (seconds: number) => {
    let due = 0;
    for (let step = 0; step < seconds * STEPS_A_SECOND; step++) {
      due += checksASecond / STEPS_A_SECOND;
      const count = Math.floor(due);
      due -= count;
      owner.check(Array.from({ length: count }, () => checkOf(Math.floor(Math.random() * keys))));
      nowMs += STEP_MS;
      const ready = tasks.filter(({ atMs }) => atMs <= nowMs);
      tasks = tasks.filter(({ atMs }) => atMs > nowMs);
      for (const { task } of ready) await task();
    }
  };
  await run((WARM_UP_ROUNDS * keys) / checksASecond);
  storage.rows = 0;
  await run(COUNTED_SECONDS);
  return (storage.rows * SECONDS_AN_HOUR) / COUNTED_SECONDS;
}
