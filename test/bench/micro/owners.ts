/** An owner without its object: batches of 100 checks among few keys and many, and memory. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Check, CounterPolicy } from "../../../src/counters/check.ts";
import { Counters } from "../../../src/counters/counters.ts";
import { Owner } from "../../../src/owner/owner.ts";
import type { KeyHash } from "../../../src/ring/key-hash.ts";
import { STILL } from "../../fake-runtime.ts";
import { MemoryStorage } from "../../owner/memory-storage.ts";
import { endless, keys } from "./keys.ts";
import { timed } from "./timing.ts";

const BATCH = 100;
const SWEEP_MS = 200;
const LIMIT = 1_000_000_000;
const DAY_MS = 86_400_000;

const POLICIES: readonly CounterPolicy[] = [
  {
    name: "default",
    algorithm: "fixed-window",
    limit: LIMIT,
    windowMs: 366 * DAY_MS,
    capacity: LIMIT,
    cost: 1,
    shadow: false,
    durable: false,
  },
];

/** An owner that has counted each of the keys. */
function ownerOf(all: readonly KeyHash[]): Owner {
  const storage = new MemoryStorage();
  const owner = new Owner({ runtime: STILL, storage });
  for (const key of all) owner.check([{ key, policies: POLICIES }]);
  return owner;
}

/** @returns ns for one check in a batch */
export async function owners(sizes: readonly number[]): Promise<Record<string, number>> {
  const times: Record<string, number> = {};
  for (const size of sizes) {
    const all = keys(size);
    const key = endless(all);
    const owner = ownerOf(all);
    const task = () => {
      const batch: Check[] = Array.from({ length: BATCH }, () => ({
        key: key(),
        policies: POLICIES,
      }));
      owner.check(batch);
    };
    const name = `check in a batch of ${BATCH}, ${size.toLocaleString("en")} keys`;
    Object.assign(times, await timed({ [name]: task }, BATCH));
  }
  return times;
}

/**
 * Returns what counters take for each of their keys, in buffers and on the heap, bytes.
 *
 * @throws {Error} if Node was started without `--expose-gc`
 */
export async function bytesPerKey(count: number): Promise<Record<string, number>> {
  const all = keys(count);
  const before = await memory();
  const counters = new Counters();
  for (const key of all) counters.check({ key, policies: POLICIES }, Date.now());
  const after = await memory();
  if (counters.tables.size !== count)
    throw new Error(`${counters.tables.size} counters, not ${count}`);
  return {
    "bytes per key, buffers": (after.arrayBuffers - before.arrayBuffers) / count,
    "bytes per key, heap": (after.heapUsed - before.heapUsed) / count,
  };
}

async function memory(): Promise<NodeJS.MemoryUsage> {
  if (!globalThis.gc) throw new Error("start Node with --expose-gc");
  globalThis.gc();
  // Buffers are let go of in the background.
  await sleep(SWEEP_MS);
  globalThis.gc();
  return process.memoryUsage();
}
