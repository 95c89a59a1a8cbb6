/**
 * What an owner with the most keys takes: memory in steady state, at most in a checkpoint, at most
 * while it is loaded; and how long it takes to its first check after a restart.
 *
 *     npm run bench:owner
 *
 * `npm run bench:owner -- --keys 100000` does the same for fewer keys. With `--new`, no check repeats
 * a key, so that most keys are evicted again.
 *
 * Its storage is SQLite on disk, so only what the owner holds is alive. It collects garbage at each
 * call and counts what is left.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { checkOf } from "./check-of.ts";
import { SqliteStorage } from "./sqlite-storage.ts";

/** The most keys of a fixed window that an owner keeps. */
const MOST_KEYS = "1666600";
const CALL_CHECKS = 100;
/** After the first round, keys change that are on disk. */
const ROUNDS = 1.3;
/** The same if all keys are new: all places are taken three times. */
const NEW_ROUNDS = 3;

class CountingStorage extends SqliteStorage {
  isCounting = false;
  peak = 0;

  count(): void {
    if (!this.isCounting) return;
    this.peak = Math.max(this.peak, alive());
  }
  override async list<T>(options: DurableObjectListOptions): Promise<Map<string, T>> {
    const found = await super.list<T>(options);
    this.count();
    return found;
  }
  override async put(entries: string | object): Promise<void> {
    this.count();
    return super.put(entries);
  }
}

function alive(): number {
  // Buffers that the first one found to be garbage go in the second.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function started(storage: CountingStorage): Promise<[Owner, run: () => Promise<void>]> {
  const tasks: (() => Promise<void>)[] = [];
  const runtime = {
    ...STILL,
    now: () => Date.now(),
    after: (_: number, task: () => Promise<void>) => void tasks.push(task),
  };
  const owner = new Owner({ runtime, storage });
  await owner.load();
  const run = async () => {
    for (const task of tasks.splice(0)) await task();
  };
  return [owner, run];
}

async function count(path: string): Promise<void> {
  const storage = new CountingStorage(path);
  const [owner, run] = await started(storage);
  const [rounds, different] = values.new ? [NEW_ROUNDS, Number.POSITIVE_INFINITY] : [ROUNDS, keys];
  for (let n = 0; n < rounds * keys; n += CALL_CHECKS) {
    owner.check(Array.from({ length: CALL_CHECKS }, (_, at) => checkOf((n + at) % different)));
    if (n % 2_000 === 0) await run();
  }
  console.log(`${owner.keys} keys: ${mb(alive())} in steady state`);
  storage.isCounting = true;
  for (let n = 0; n < 10; n++) {
    owner.check(Array.from({ length: 1_000 }, (_, at) => checkOf(Math.imul(n, 7_919) + at * 100)));
    await run();
  }
  console.log(`checkpoint: at most ${mb(storage.peak)}`);
}

async function load(path: string, isCounting: boolean): Promise<void> {
  const storage = new CountingStorage(path);
  storage.isCounting = isCounting;
  const beginMs = performance.now();
  const begin = process.cpuUsage();
  const [owner] = await started(storage);
  owner.check([checkOf(5)]);
  const ms = (performance.now() - beginMs).toFixed(0);
  if (isCounting) console.log(`load of ${owner.keys} keys: at most ${mb(storage.peak)}`);
  const { user, system } = process.cpuUsage(begin);
  const cpuMs = ((user + system) / 1_000).toFixed(0);
  if (!isCounting) console.log(`first check after a restart: ${ms} ms, ${cpuMs} ms of CPU`);
}

const before = alive();
const mb = (bytes: number) => `${((bytes - before) / 1e6).toFixed(0)} MB`;
const { values } = parseArgs({
  options: {
    keys: { type: "string", default: MOST_KEYS },
    path: { type: "string" },
    new: { type: "boolean", default: false },
    counting: { type: "boolean", default: false },
  },
});
const keys = Number(values.keys);
if (values.path) await load(values.path, values.counting);
else {
  const directory = mkdtempSync(join(tmpdir(), "turnpike-bench-"));
  const file = join(directory, "owner.sqlite");
  await count(file);
  // Each in a process of its own, as after a restart.
  for (const how of [[], [], [], ["--counting"]]) {
    const args = ["--expose-gc", import.meta.filename, "--path", file, ...how];
    spawnSync(process.execPath, args, { stdio: "inherit" });
  }
  rmSync(directory, { recursive: true });
}
