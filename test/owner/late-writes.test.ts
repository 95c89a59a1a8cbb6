/**
 * An owner upon a disk whose writes come late, in their order, and fail at times: several are on
 * their way at once. It lives on after a failure, which the runtime would not let it.
 */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { Schedule } from "../simulation/schedule.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const LIMIT = 1_000_000;
const NAMES = ["kept", "kept too", "lost", "lost too"];
const SEEDS = Array.from({ length: 150 }, (_, nth) => nth + 1);

function policyOf(name: string): CounterPolicy {
  return { ...TEN_A_DAY, name, limit: LIMIT, capacity: LIMIT, durable: name.startsWith("kept") };
}

class LateStorage extends MemoryStorage {
  readonly #late: { run: () => Promise<unknown>; fail: () => void }[] = [];

  override put = this.#lately(super.put);
  override delete = this.#lately(super.delete);
  override deleteAll = this.#lately(super.deleteAll);
  override setAlarm = this.#lately(super.setAlarm);

  get isIdle(): boolean {
    return this.#late.length === 0;
  }

  /** Makes the first write that is on its way, or has it fail. */
  async next(fails = false): Promise<void> {
    const write = this.#late.shift();
    if (fails) write?.fail();
    else await write?.run();
    await turns();
  }

  /** What is on its way never reaches the disk. */
  crash(): void {
    this.#late.length = 0;
  }

  #lately<Given extends unknown[], Result>(act: (...given: Given) => Promise<Result>) {
    return (...given: Given): Promise<Result> => {
      const { promise, resolve, reject } = Promise.withResolvers<Result>();
      this.#late.push({
        run: async () => resolve(await act.apply(this, given)),
        fail: () => reject(new Error("disk is full")),
      });
      return promise;
    };
  }
}

/** Lets all go on that waits for no write. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await undefined;
}

/** One machine after the other on the same disk. */
class Lives {
  readonly schedule: Schedule;
  readonly storage = new LateStorage();
  owner!: Owner;
  #machine = 0;

  constructor(seed: number) {
    this.schedule = new Schedule(seed);
  }

  async start(): Promise<void> {
    this.storage.crash();
    const machine = ++this.#machine;
    const { schedule, storage } = this;
    const owner = new Owner({
      runtime: {
        ...STILL,
        now: () => schedule.nowMs,
        after: (ms, task) =>
          schedule.after(ms, () => void (machine === this.#machine && task().catch(() => {}))),
      },
      storage,
    });
    let isLoaded = false;
    const loading = owner.load().then(() => {
      isLoaded = true;
    });
    for (await turns(); !isLoaded; ) await storage.next();
    await loading;
    this.owner = owner;
  }

  /** What is counted, by policy and key. */
  get counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [table, { segments }] of this.owner.tables) {
      const name = table.slice(table.lastIndexOf("/") + 1);
      for (const segment of segments) {
        segment.visit(({ lo }, [, count]) => void counts.set(`${name} ${lo}`, count as number));
      }
    }
    return counts;
  }
}

let errors: string[];

beforeEach(() => {
  errors = [];
  vi.spyOn(console, "error").mockImplementation((line) => void errors.push(line));
});
afterEach(() => vi.restoreAllMocks());

it.each(SEEDS)(
  "an owner keeps what it acknowledged while writes come late, seed %d",
  async (seed) => {
    const lives = new Lives(seed);
    const { schedule, storage } = lives;
    const failShare = schedule.pick([0, 0.2, 0.5]);
    const mostKeys = schedule.pick([5, 500]);
    const acknowledged = new Map<string, number>();
    const spend = (name: string, first: number, keys: number) => {
      const { owner, counts } = lives;
      const policies = [policyOf(name)];
      owner.check(
        Array.from({ length: keys }, (_, n) => ({ key: { hi: 7, lo: first + n }, policies })),
      );
      const id = `${name} ${first}`;
      const count = (counts.get(id) ?? 0) + 1;
      const acknowledge = () => acknowledged.set(id, Math.max(acknowledged.get(id) ?? 0, count));
      if (!name.startsWith("kept")) return;
      expect(owner.written).toBeDefined();
      owner.written?.then(acknowledge, () => {});
    };
    await lives.start();
    for (let step = 0; step < 80; step++) {
      const name = schedule.pick(NAMES);
      const chance = schedule.int(1, 100);
      if (chance <= 40) spend(name, schedule.int(1, mostKeys), schedule.pick([1, 1, 1, 300]));
      else if (chance <= 50) void lives.owner.save().catch(() => {});
      else if (chance <= 75) await storage.next(schedule.odds(failShare));
      else if (chance <= 95) schedule.step(schedule.nowMs + schedule.int(1, 1_000));
      else {
        await lives.start();
        const { counts } = lives;
        const lost = [...acknowledged].filter(([id, count]) => (counts.get(id) ?? 0) < count);
        expect(lost).toEqual([]);
      }
      await turns();
    }
    const endMs = schedule.nowMs + 30_000;
    while (!storage.isIdle || schedule.step(endMs)) await storage.next();
    const { counts } = lives;
    await lives.start();
    expect(lives.counts).toEqual(counts);
    // What never reached the disk is no damage.
    expect(errors.filter((line) => !line.includes("checkpoint-failed"))).toEqual([]);
    if (counts.size > 0) expect(storage.alarmMs).not.toBeNull();
  },
);
