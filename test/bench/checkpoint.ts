/**
 * What counters cost as they grow, and what a checkpoint does to the checks beside it.
 *
 *     npm run bench:checkpoint
 *
 * Storage is SQLite, written in the turn of the `put` as workerd does, but never synced; on disk, and
 * in memory, to tell the disk's part. Only the ratios mean something on another machine; both sides
 * of each are measured in turns in one run.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import type { Check } from "../../src/counters/check.ts";
import { Counters } from "../../src/counters/counters.ts";
import type { FixedRows } from "../../src/counters/fixed-rows.ts";
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { checkOf } from "./check-of.ts";
import { SqliteStorage } from "./sqlite-storage.ts";

const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const CHECKS_A_ROUND = 200_000;
/** Checks that an owner is asked at once. */
const CALL_CHECKS = 100;
const ROUNDS = 7;
const BATCH_CHECKS = 20;
const BATCH_EVERY_MS = 2;
const PHASE_MS = 6_000;
const PHASES = 4;

function randomCheck(keys: number): Check {
  return checkOf(Math.floor(Math.random() * keys));
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] as number;
}

/** What the tables' buffers take. */
function bufferBytes({ tables }: Counters): number {
  return [...tables.byName.values()]
    .flatMap(({ segments }) => segments)
    .reduce((total, segment) => total + (segment as FixedRows).bufferBytes, 0);
}

function growth(): void {
  const nowMs = Date.now();
  const tables = SIZES.map((keys) => {
    const counters = new Counters();
    let worst = 0;
    for (let n = 0; n < keys; n++) {
      counters.check(checkOf(n), nowMs);
      if (n > keys / 2 && n % Math.ceil(keys / 1_000) === 0) {
        worst = Math.max(worst, bufferBytes(counters) / counters.tables.size);
      }
    }
    return { keys, counters, worst, nanoseconds: [] as number[] };
  });
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { keys, counters, nanoseconds } of tables) {
      const start = performance.now();
      for (let n = 0; n < CHECKS_A_ROUND; n += CALL_CHECKS) {
        const checks = Array.from({ length: CALL_CHECKS }, () => randomCheck(keys));
        for (const check of checks) counters.check(check, nowMs);
      }
      const each = ((performance.now() - start) * 1e6) / CHECKS_A_ROUND;
      // The first round warms up.
      if (round > 0) nanoseconds.push(each);
    }
  }
  const first = median(tables[0]?.nanoseconds ?? []);
  for (const { keys, worst, nanoseconds } of tables) {
    const each = median(nanoseconds);
    console.log(
      `${keys} keys: ${each.toFixed(0)} ns a check, ${(each / first).toFixed(2)} × the first; ` +
        `at most ${worst.toFixed(1)} bytes a key while it grew`,
    );
  }
}

/** Sends batches at a fixed pace; returns how late each was answered, ms, the worst last. */
async function latencies(check: (batch: Check[]) => void, keys: number): Promise<number[]> {
  const late: number[] = [];
  const endMs = performance.now() + PHASE_MS;
  for (let dueMs = performance.now(); dueMs < endMs; dueMs += BATCH_EVERY_MS) {
    while (performance.now() < dueMs) await turn();
    check(Array.from({ length: BATCH_CHECKS }, () => randomCheck(keys)));
    late.push(performance.now() - dueMs);
  }
  return late.sort((a, b) => a - b);
}

/** Adds up the time that the storage takes, which is not the owner's own. */
class TimedStorage extends SqliteStorage {
  ms = 0;

  override async put(entries: string | object): Promise<void> {
    const begin = performance.now();
    // It has done all when it returns: it waits for nothing.
    const written = super.put(entries);
    this.ms += performance.now() - begin;
    return written;
  }
  override async delete(keys: string | string[]): Promise<never> {
    const begin = performance.now();
    const deleted = super.delete(keys);
    this.ms += performance.now() - begin;
    return deleted;
  }
}

/** Shows p50, p99 and the most of some times, ms. */
function spread(times: readonly number[]): string {
  const sorted = times.toSorted((one, other) => one - other);
  const [p50, p99, most] = [0.5, 0.99, 1].map((part) =>
    sorted[Math.ceil(sorted.length * part) - 1]?.toFixed(2),
  );
  return `p50 ${p50}, p99 ${p99}, at most ${most} ms`;
}

async function pauses(keys: number, where: string, path: string): Promise<void> {
  const storage = new TimedStorage(path);
  let isOn = false;
  const tasks: (() => Promise<void>)[] = [];
  const turns: { ms: number; storageMs: number }[] = [];
  /** Of all turns together: the system counts CPU time in steps that are longer than a turn. */
  let cpuMicroseconds = 0;
  const measured = async (task: () => Promise<void>) => {
    const { checkpoints, ms: storageBefore } = storage;
    const before = process.threadCpuUsage();
    const begin = performance.now();
    // Nothing in it waits for more than a microtask.
    await task();
    const ms = performance.now() - begin;
    const { user, system } = process.threadCpuUsage(before);
    if (storage.checkpoints === checkpoints) return;
    turns.push({ ms, storageMs: storage.ms - storageBefore });
    cpuMicroseconds += user + system;
  };
  const owner = new Owner({
    runtime: {
      ...STILL,
      after: (ms, task) => void setTimeout(() => (isOn ? measured(task) : tasks.push(task)), ms),
    },
    storage,
  });
  await owner.load();
  const counters = new Counters();
  isOn = true;
  for (let n = 0; n < keys; n += 100) {
    owner.check(Array.from({ length: 100 }, (_, at) => checkOf(n + at)));
    await turn();
  }
  for (let n = 0; n < keys; n++) counters.check(checkOf(n), Date.now());
  await latencies((batch) => owner.check(batch), keys);
  const ratios: number[] = [];
  storage.bytes = 0;
  storage.rows = 0;
  storage.checkpoints = 0;
  turns.length = 0;
  cpuMicroseconds = 0;
  const names = ["p50", "p99", "p99.9", "max"];
  for (let phase = 0; phase < PHASES; phase++) {
    isOn = true;
    for (const task of tasks.splice(0)) await measured(task);
    const on = await latencies((batch) => owner.check(batch), keys);
    isOn = false;
    const off = await latencies((batch) => {
      const nowMs = Date.now();
      for (const each of batch) counters.check(each, nowMs);
    }, keys);
    const at = (late: number[]) =>
      [0.5, 0.99, 0.999, 1].map((part) => late[Math.ceil(late.length * part) - 1] as number);
    ratios.push((at(on)[2] as number) / (at(off)[2] as number));
    const show = (late: number[]) =>
      at(late)
        .map((ms, index) => `${names[index]} ${ms.toFixed(3)}`)
        .join(", ");
    console.log(`with checkpoints: ${show(on)} ms; without: ${show(off)} ms`);
  }
  const cpuMs = cpuMicroseconds / 1_000 / turns.length;
  console.log(
    `${where}: a checkpoint holds up checks for ${spread(turns.map(({ ms }) => ms))}; ` +
      `on average it takes ${cpuMs.toFixed(2)} ms of CPU`,
  );
  console.log(
    `${where}: of that, the owner takes ${spread(turns.map(({ ms, storageMs }) => ms - storageMs))}; ` +
      `the storage ${spread(turns.map(({ storageMs }) => storageMs))}`,
  );
  const mb = storage.bytes / 1e6 / storage.checkpoints;
  console.log(
    `${where}: p99.9 with ÷ without: ${median(ratios).toFixed(2)} (median of ${PHASES}); ` +
      `${storage.checkpoints} checkpoints of ${mb.toFixed(2)} MB in ` +
      `${(storage.rows / storage.checkpoints).toFixed(1)} rows, at ${(BATCH_CHECKS / BATCH_EVERY_MS) * 1000} checks/s`,
  );
}

growth();
const directory = mkdtempSync(join(tmpdir(), "turnpike-bench-"));
await pauses(1_000_000, "on disk", join(directory, "owner.sqlite"));
rmSync(directory, { recursive: true });
await pauses(1_000_000, "in memory", ":memory:");
