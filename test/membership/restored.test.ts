/** A membership object whose storage was lost or restored goes on from what its owners know. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RingKeeper } from "../../src/membership/ring-keeper.ts";
import { RingOwner } from "../../src/owner/change/ring-owner.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import { encodeBatch } from "../../src/protocol/wire.ts";
import { decodeAnswer } from "../../src/protocol/wire-answer.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import { STILL } from "../fake-runtime.ts";
import { MemoryStorage } from "../owner/memory-storage.ts";
import { TEN_A_DAY } from "../owner/ten-a-day.ts";

const KEYS = Array.from({ length: 100 }, (_, n) => sipHash(PUBLIC_SIP_KEY, `${n}`));

/** A region's objects, and the disk of the membership object. */
class Region {
  disk = new Map<string, unknown>();
  keeper!: RingKeeper;
  readonly #owners = new Map<string, Promise<RingOwner>>();
  #tasks: Promise<unknown>[] = [];

  /** Starts the membership object from its disk. */
  async start(): Promise<void> {
    this.#tasks = [];
    this.keeper = new RingKeeper({
      region: "weur",
      ownersPerRegion: 2,
      minOwners: 2,
      maxOwners: 16,
      highWater: 400,
      runtime: {
        ...STILL,
        keepAlive: (task) => void this.#tasks.push(task),
        wait: () => new Promise(() => {}),
      },
      storage: {
        get: async (key: unknown) => structuredClone(this.disk.get(String(key))) as never,
        put: async (key: unknown, value: unknown) => {
          this.disk.set(String(key), structuredClone(value));
        },
        setAlarm: async () => {},
        deleteAlarm: async () => {},
      },
      ownerStub: (name) => ({
        adopt: async (record) => (await this.#owner(name)).adopt(record),
        takeOver: async (version) => (await this.#owner(name)).takeOver(version),
        status: async () => (await this.#owner(name)).status(),
      }),
    });
    await this.keeper.load();
  }

  /** Notes an owner's load, and lets the ring change. Under the default load it doubles. */
  async report(name = "weur/0", load = 10_000): Promise<void> {
    await this.keeper.reportLoad(name, load);
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) await task;
  }

  ring(): Promise<RingRecord> {
    return this.keeper.ring();
  }

  /** Spends one unit of each key, by a ring. @returns what each has left, undefined if it moved */
  async spend({ version, owners }: RingRecord): Promise<unknown[]> {
    const ring = new Ring(owners);
    return Promise.all(
      KEYS.map(async (key) => {
        const checks = [{ key, policies: [TEN_A_DAY] }];
        const owner = await this.#owner(ring.ownerOf(key));
        const answer = decodeAnswer(await owner.check(encodeBatch({ version, checks })), checks);
        return answer?.verdicts[0]?.[0]?.remaining;
      }),
    );
  }

  #owner(name: string): Promise<RingOwner> {
    const started = this.#owners.get(name) ?? this.#startOwner(name);
    this.#owners.set(name, started);
    return started;
  }

  async #startOwner(name: string): Promise<RingOwner> {
    const owner = new RingOwner({
      name,
      runtime: STILL,
      storage: new MemoryStorage(),
      ownerStub: (other) => ({
        release: async (...asked) => (await this.#owner(other)).release(...asked),
        releaseSome: async (...asked) => (await this.#owner(other)).releaseSome(...asked),
      }),
      membershipStub: () => ({ ring: () => this.ring(), reportLoad: async () => {} }),
      deadlineMs: 10_000,
      highWater: 400,
    });
    await owner.load();
    return owner;
  }
}

let region: Region;

beforeEach(async () => {
  for (const level of ["log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation(() => {});
  }
  region = new Region();
  await region.start();
  await region.ring();
  await region.report();
});

afterEach(() => vi.restoreAllMocks());

const left = (units: number) => KEYS.map(() => units);

describe.each([1, 2])("a membership object that lost its ring after %i more changes", (more) => {
  it("goes on from the ring that its owners know, and no count is lost", async () => {
    for (let n = 0; n < more; n++) await region.report();
    const before = await region.ring();
    expect(await region.spend(before)).toEqual(left(9));
    region.disk = new Map();
    await region.start();
    await region.report();
    const found = await region.ring();
    expect(found).toEqual({ ...before, version: expect.any(Number) });
    expect(found.version).toBeGreaterThan(before.version);
    expect(await region.spend(found)).toEqual(left(8));
    await region.report();
    const grown = await region.ring();
    expect(grown.owners).toHaveLength(Math.min(16, 2 * before.owners.length));
    expect(await region.spend(grown)).toEqual(left(7));
  });
});

describe("a membership object that was restored", () => {
  it("goes on from a ring that has the version of its own", async () => {
    const before = await region.ring();
    await region.spend(before);
    region.disk = new Map();
    await region.start();
    // The ring that it makes has the version of the owners' ring, and an owner less.
    for (const name of ["weur/0", "weur/1"]) await region.report(name, 450);
    const found = await region.ring();
    expect(found.owners).toEqual(before.owners);
    expect(await region.spend(found)).toEqual(left(8));
  });

  it("hears of the owners' ring if one reports that it does not know", async () => {
    const before = await region.ring();
    region.disk = new Map();
    await region.start();
    await region.report("weur/3");
    expect((await region.ring()).owners).toEqual(before.owners);
  });

  it("hears of the owners' ring if one can't be reached that it does not know", async () => {
    const before = await region.ring();
    region.disk = new Map();
    await region.start();
    await region.keeper.reportFailure("weur/3", "isolate");
    expect((await region.ring()).owners).toEqual(before.owners);
  });
});
