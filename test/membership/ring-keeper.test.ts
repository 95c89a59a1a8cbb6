import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { QUIET_MS } from "../../src/membership/autoscaling.ts";
import { ENOUGH_REPORTERS, REPORT_FRESH_MS } from "../../src/membership/failure-reports.ts";
import { OperatedRingKeeper } from "../../src/membership/operated-ring-keeper.ts";
import { GIVE_UP_MS } from "../../src/membership/ring-change.ts";
import { PROBE_MS, RETRY_MS } from "../../src/membership/ring-state.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import { STILL } from "../fake-runtime.ts";

/** A crash: nothing of what follows in that process happens. */
const NEVER = new Promise<never>(() => {});

/** A region's disk and owners, and the membership object over them, which may crash. */
class Region {
  nowMs = 1_700_000_000_000;
  alarmMs: number | undefined;
  /** What each owner heard last. */
  readonly heard = new Map<string, RingRecord>();
  readonly tookOver: string[] = [];
  /** How full each owner says it is. */
  fill = 0;
  /** Owners that do not answer. */
  readonly silent = new Set<string>();
  /** After so many calls and writes the process is gone. */
  stepsLeft = Number.POSITIVE_INFINITY;
  lines: { event: string; owner?: string }[] = [];
  members!: OperatedRingKeeper;
  readonly #disk = new Map<string, unknown>();
  #tasks: Promise<unknown>[] = [];

  async start(owners = 2): Promise<OperatedRingKeeper> {
    this.stepsLeft = Number.POSITIVE_INFINITY;
    this.#tasks = [];
    this.members = new OperatedRingKeeper({
      region: "weur",
      ownersPerRegion: owners,
      minOwners: 2,
      maxOwners: 8,
      highWater: 400,
      runtime: {
        ...STILL,
        now: () => this.nowMs,
        keepAlive: (task) => void this.#tasks.push(task),
        // No deadline passes.
        wait: () => NEVER,
      },
      storage: {
        get: async (key: unknown) => structuredClone(this.#disk.get(key as string)) as never,
        put: async (key: unknown, value: unknown) => {
          await this.#step();
          this.#disk.set(key as string, structuredClone(value));
        },
        list: async () => new Map(),
        delete: async () => 0 as never,
        // Reaches the disk with what is put in the same turn, or not at all.
        setAlarm: async (ms) => {
          if (this.stepsLeft >= 0) this.alarmMs = Number(ms);
        },
        deleteAlarm: async () => {
          if (this.stepsLeft >= 0) this.alarmMs = undefined;
        },
      },
      homeRegion: "weur",
      membershipStub: () => {
        throw new Error("nobody changes the policies");
      },
      ownerStub: (owner) => ({
        adopt: async (record) => {
          await this.#answer(owner);
          this.heard.set(owner, structuredClone(record));
        },
        takeOver: async () => {
          await this.#answer(owner);
          this.tookOver.push(owner);
          return { isDone: true, silent: [] };
        },
        status: async () => {
          await this.#answer(owner);
          return { keys: 0, fill: this.fill, checksPerSecond: 0 };
        },
      }),
    });
    await this.members.load();
    return this.members;
  }

  /** Lets what was begun come to an end. */
  async rest(): Promise<void> {
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) await task;
  }

  /** Moves the clock, letting the alarm go off on the way. */
  async wait(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    while (this.alarmMs !== undefined && this.alarmMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.alarmMs);
      this.alarmMs = undefined;
      await this.members.wake();
      await this.rest();
    }
    this.nowMs = endMs;
  }

  async #answer(owner: string): Promise<void> {
    await this.#step();
    if (this.silent.has(owner)) throw new Error("silent");
  }

  async #step(): Promise<void> {
    if (this.stepsLeft-- <= 0) await NEVER;
  }
}

let region: Region;

beforeEach(() => {
  region = new Region();
  const note = (line: string) => void region.lines.push(JSON.parse(line));
  vi.spyOn(console, "log").mockImplementation(note);
  vi.spyOn(console, "warn").mockImplementation(note);
});

afterEach(() => vi.restoreAllMocks());

const logged = (event: string) =>
  region.lines.filter((line) => line.event === event).map(({ owner }) => owner);

async function names(): Promise<string[]> {
  return (await region.members.ring()).owners;
}

describe("the members of a ring", () => {
  it("tell old and new owners, have the new ones take over, then tell all that it is done", async () => {
    const members = await region.start();
    expect(await members.ring()).toEqual({ version: 1, owners: ["weur/0", "weur/1"], lost: [] });
    expect(await members.add()).toBeUndefined();
    await region.rest();
    const owners = ["weur/0", "weur/1", "weur/2"];
    expect(await members.ring()).toEqual({ version: 2, owners, lost: [] });
    for (const owner of owners) expect(region.heard.get(owner)).not.toHaveProperty("previous");
    expect(region.tookOver.sort()).toEqual(owners);
    expect(logged("owner-joined")).toEqual(["weur/2"]);
    await members.remove("weur/0");
    await region.rest();
    expect(region.heard.get("weur/0")).toEqual(await members.ring());
    expect(logged("owner-left")).toEqual(["weur/0"]);
    expect(region.alarmMs).toBeUndefined();
  });

  it("make one change at a time, and say what is going on and since when", async () => {
    const members = await region.start();
    region.silent.add("weur/1");
    await members.add();
    await region.rest();
    region.nowMs += 300;
    const refusal = { refused: "a change to version 2 began 300 ms ago, waits for weur/1" };
    expect(await members.add()).toEqual(refusal);
    expect(await members.remove("weur/0")).toEqual(refusal);
    expect(await members.status()).toMatchObject({ settling: true, waitingFor: ["weur/1"] });
    region.silent.clear();
    await region.wait(RETRY_MS);
    expect(await members.status()).toMatchObject({ settling: false, waitingFor: [], version: 2 });
  });

  it("refuse to add one that is in the ring, and to remove the last one or one that is not in it", async () => {
    const members = await region.start(1);
    region.nowMs += 5;
    expect(await members.add("weur/0")).toEqual({
      refused: "weur/0 is in the ring already, since 0 ms",
    });
    expect(await members.remove("weur/0")).toEqual({ refused: "weur/0 is the last owner" });
    expect(await members.remove("weur/7")).toEqual({
      refused: "weur/7 is not in the ring, which has weur/0",
    });
  });

  it("complete a change after a crash at any of its steps", async () => {
    let steps = 0;
    for (; ; steps++) {
      region = new Region();
      await region.start();
      await region.members.ring();
      region.stepsLeft = steps;
      const ordered = region.members.add();
      await new Promise((resolve) => setTimeout(resolve));
      const isOver = region.stepsLeft > 0;
      await region.start();
      const { version } = await region.members.ring();
      await region.wait(2 * RETRY_MS);
      expect(await region.members.status()).toMatchObject({ settling: false, version });
      expect(await names()).toHaveLength(1 + version);
      for (const owner of await names()) {
        if (version > 1) expect(region.heard.get(owner)).toEqual(await region.members.ring());
      }
      if (isOver) {
        await ordered;
        break;
      }
    }
    expect(steps).toBeGreaterThan(10);
  });

  it("go on without an owner that stays silent, and say that its counts are lost", async () => {
    const members = await region.start();
    region.silent.add("weur/1");
    await members.add();
    await region.rest();
    await region.wait(GIVE_UP_MS + RETRY_MS);
    expect(await members.ring()).toEqual({
      version: 3,
      owners: ["weur/0", "weur/2"],
      lost: [
        { owner: "weur/1", owners: ["weur/0", "weur/1"], atMs: expect.any(Number) },
        { owner: "weur/1", owners: ["weur/0", "weur/1", "weur/2"], atMs: expect.any(Number) },
      ],
    });
    expect(logged("owner-down")).toEqual(["weur/1"]);
    expect(region.heard.get("weur/2")?.version).toBe(3);
  });

  it("remember each loss once, and until it can't matter any more", async () => {
    const members = await region.start(3);
    await members.ring();
    for (let n = 1; n <= 20; n++) {
      region.silent.add("weur/1");
      for (const reporter of ["a", "b", "c"]) await members.reportFailure("weur/1", reporter);
      await region.rest();
      const lostMs = region.nowMs;
      expect(await members.ring()).toMatchObject({
        version: 2 * n,
        lost: [{ owner: "weur/1", atMs: lostMs }],
      });
      region.silent.clear();
      await region.wait(PROBE_MS);
      expect(await names()).toContain("weur/1");
    }
    const [{ atMs } = { atMs: 0 }] = (await members.ring()).lost;
    region.nowMs = atMs + 3 * 366 * 86_400_000 - 1;
    await members.remove("weur/2");
    await region.rest();
    expect((await members.ring()).lost).toHaveLength(1);
    region.nowMs++;
    await members.add();
    await region.rest();
    expect((await members.ring()).lost).toEqual([]);
  });

  it("take an owner out that enough isolates can't reach, and back when it answers", async () => {
    const members = await region.start(3);
    await members.ring();
    region.silent.add("weur/1");
    for (let n = 1; n < ENOUGH_REPORTERS; n++) await members.reportFailure("weur/1", `${n}`);
    await members.reportFailure("weur/1", "1");
    expect(await names()).toContain("weur/1");
    await members.reportFailure("weur/1", `${ENOUGH_REPORTERS}`);
    await region.rest();
    expect(await members.status()).toMatchObject({ version: 2, down: ["weur/1"], settling: false });
    expect(await names()).not.toContain("weur/1");
    await region.wait(3 * PROBE_MS);
    expect(await names()).not.toContain("weur/1");
    region.silent.clear();
    await region.wait(PROBE_MS);
    expect(await names()).toContain("weur/1");
    expect(await members.status()).toMatchObject({ version: 3, down: [], settling: false });
    expect([logged("owner-down"), logged("owner-up")]).toEqual([["weur/1"], ["weur/1"]]);
  });

  it("keep an owner that answers, or whose reports are old", async () => {
    const members = await region.start(3);
    await members.ring();
    for (let n = 0; n < 2 * ENOUGH_REPORTERS; n++) await members.reportFailure("weur/1", `${n}`);
    region.silent.add("weur/2");
    for (let n = 0; n < 2 * ENOUGH_REPORTERS; n++) {
      region.nowMs += REPORT_FRESH_MS;
      await members.reportFailure("weur/2", `${n}`);
    }
    expect((await members.ring()).version).toBe(1);
  });

  it("add owners for a high load, at most twice as many at once", async () => {
    const members = await region.start(2);
    await members.ring();
    await members.reportLoad("weur/0", 700);
    expect(await names()).toHaveLength(2);
    await members.reportLoad("weur/1", 800);
    await region.rest();
    expect(await names()).toHaveLength(4);
    for (const owner of await names()) await members.reportLoad(owner, 10_000);
    await region.rest();
    expect(await names()).toHaveLength(8);
    for (const owner of await names()) await members.reportLoad(owner, 10_000);
    await region.rest();
    expect(await names()).toHaveLength(8);
  });

  it("remove half of the owners each time ten minutes have been quiet", async () => {
    const members = await region.start(2);
    await members.ring();
    for (const owner of await names()) await members.reportLoad(owner, 10_000);
    await region.rest();
    for (const owner of await names()) await members.reportLoad(owner, 10_000);
    await region.rest();
    expect(await names()).toHaveLength(8);
    await region.wait(QUIET_MS / 2);
    await members.reportLoad("weur/7", 300);
    await region.wait(QUIET_MS - 1);
    expect(await names()).toHaveLength(8);
    await region.wait(1);
    expect(await names()).toHaveLength(4);
    await region.wait(QUIET_MS);
    expect(await names()).toEqual(["weur/0", "weur/1"]);
    await region.wait(10 * QUIET_MS);
    expect(await names()).toHaveLength(2);
    expect(region.alarmMs).toBeUndefined();
  });

  it("remove no owners while the counts of all do not fit into those that stay", async () => {
    const members = await region.start(2);
    await members.ring();
    for (const owner of await names()) await members.reportLoad(owner, 10_000);
    await region.rest();
    region.fill = 0.3;
    await region.wait(3 * QUIET_MS);
    expect(await names()).toHaveLength(4);
    region.fill = 0.2;
    await region.wait(QUIET_MS);
    expect(await names()).toHaveLength(2);
  });
});
