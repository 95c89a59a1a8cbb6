import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { OperatedRingKeeper } from "../../src/membership/operated-ring-keeper.ts";
import { MAX_DOCUMENTS, type PoliciesDocument } from "../../src/protocol/policies-document.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { Region } from "../../src/ring/region.ts";
import { FakeTime } from "../fake-runtime.ts";
import { listed } from "../owner/listed.ts";

const NEVER = new Promise<never>(() => {});
const HOME = "weur";
/** Alarms go off that late at most. */
const STEP_MS = 100;

/** Membership objects of some regions on their disks, with owners that hear of versions. */
class Regions {
  readonly time = new FakeTime();
  readonly members = new Map<string, OperatedRingKeeper>();
  readonly disks = new Map<string, Map<string, unknown>>();
  readonly alarmsMs = new Map<string, number>();
  /** The version that each owner heard last. */
  readonly heard = new Map<string, number>();
  /** Owners and regions that do not answer. */
  readonly silent = new Set<string>();
  /** Owners and regions whose next calls are never answered, and how many calls. */
  readonly hanging = new Map<string, number>();
  /** Calls to owners and regions, answered or not. */
  readonly calls = new Map<string, number>();
  /** Owners that do not take over what they own: a change of the ring waits for them. */
  isMoving = false;
  /** Regions whose alarm has gone off and is not over: no other goes off meanwhile. */
  readonly #waking = new Set<string>();

  /** Starts a region's object from its disk, at first or again. */
  async start(region: Region): Promise<OperatedRingKeeper> {
    const entries = this.disks.get(region) ?? new Map<string, unknown>();
    this.disks.set(region, entries);
    const storage = {
      get: async (key: string) => structuredClone(entries.get(key)),
      list: async (options: object) => new Map(listed(entries, options)),
      put: async (key: string | object, value: unknown) => {
        const given = typeof key === "string" ? [[key, value] as const] : Object.entries(key);
        for (const [name, each] of given) entries.set(name, structuredClone(each));
      },
      delete: async (key: string) => entries.delete(key),
      setAlarm: async (atMs: number | Date) => void this.alarmsMs.set(region, Number(atMs)),
      deleteAlarm: async () => void this.alarmsMs.delete(region),
    };
    const members = new OperatedRingKeeper({
      region,
      homeRegion: HOME,
      ownersPerRegion: 2,
      minOwners: 2,
      maxOwners: 8,
      highWater: 0,
      runtime: this.time.runtime,
      storage: storage as never,
      membershipStub: (other) => {
        const reach = async () => {
          await this.#answer(other);
          return this.members.get(other) ?? (await this.start(other));
        };
        return {
          policies: async (known) => (await reach()).policies.later(known),
          adoptPolicies: async (document) => (await reach()).policies.adopt(document),
        };
      },
      ownerStub: (owner) => ({
        adopt: async (record: RingRecord & { live?: number }) => {
          await this.#answer(owner);
          this.heard.set(owner, record.live ?? 0);
        },
        takeOver: async () => (this.isMoving ? NEVER : { isDone: true, silent: [] }),
        status: async () => ({ keys: 0, checksPerSecond: 0 }),
      }),
    });
    await members.load();
    this.members.set(region, members);
    return members;
  }

  /** Lets all happen that takes no time. */
  rest(): Promise<void> {
    return this.time.pass(0);
  }

  /** Lets time pass, and alarms go off that are due. */
  async wait(ms: number): Promise<void> {
    const endMs = this.time.nowMs + ms;
    while (this.time.nowMs < endMs) {
      await this.time.pass(STEP_MS);
      for (const region of this.alarmsMs.keys()) this.#ring(region);
      await this.rest();
    }
  }

  #ring(region: string): void {
    if (Number(this.alarmsMs.get(region)) > this.time.nowMs || this.#waking.has(region)) return;
    this.alarmsMs.delete(region);
    this.#waking.add(region);
    void this.members
      .get(region)
      ?.wake()
      .finally(() => this.#waking.delete(region));
  }

  async #answer(name: string): Promise<void> {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    const left = this.hanging.get(name) ?? 0;
    this.hanging.set(name, left - 1);
    if (left > 0) await NEVER;
    if (this.silent.has(name)) throw new Error(`${name} does not answer`);
  }
}

let regions: Regions;
let home: OperatedRingKeeper;

const changeTo = (policies: string, ifVersion?: number) =>
  home.policies.change({ source: "live", policies, by: "kim", ifVersion });

beforeEach(async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  regions = new Regions();
  home = await regions.start(HOME);
});

afterEach(() => vi.restoreAllMocks());

describe("live policies", () => {
  it("are none, and cost nothing on disk, until somebody changes them", async () => {
    await home.ring();
    expect(await home.policies.later(0)).toBeNull();
    expect(await home.policies.history()).toEqual([]);
    expect([...(regions.disks.get(HOME)?.keys() ?? [])]).toEqual(["members"]);
    expect(await home.ring()).not.toHaveProperty("live");
  });

  it("have one version more with each change, also after a restart", async () => {
    expect(await changeTo("[1]", 0)).toMatchObject({ version: 1, by: "kim", policies: "[1]" });
    expect(await changeTo("[2]", 1)).toMatchObject({ version: 2 });
    home = await regions.start(HOME);
    expect(await home.policies.later(1)).toMatchObject({ version: 2, policies: "[2]" });
    expect(await home.policies.later(2)).toBeNull();
    expect(await changeTo("[3]", 2)).toMatchObject({ version: 3 });
  });

  it("let the first of two changes at one time win, and tell the second what is in force", async () => {
    const both = await Promise.all([changeTo("[1]", 0), changeTo("[2]", 0)]);
    expect(both).toEqual([expect.objectContaining({ policies: "[1]" }), 1]);
    expect(await home.policies.history()).toHaveLength(1);
  });

  it(`keep the latest ${MAX_DOCUMENTS} documents, and no more bytes than these have`, async () => {
    const text = JSON.stringify("x".repeat(10_000));
    for (let n = 0; n < 2 * MAX_DOCUMENTS; n++) await changeTo(text);
    await regions.rest();
    const versions = (await home.policies.history()).map(({ version }) => version);
    expect(versions).toEqual(Array.from({ length: MAX_DOCUMENTS }, (_, at) => 100 - at));
    const bytes = JSON.stringify([...(regions.disks.get(HOME) as Map<string, unknown>)]).length;
    expect(bytes).toBeLessThan((MAX_DOCUMENTS + 2) * text.length * 1.1);
  });
});

describe("a home region whose storage was lost or restored", () => {
  it("puts what it has in force again, beyond the version that owners tell of", async () => {
    await home.ring();
    await changeTo("[1]");
    const restored = structuredClone(regions.disks.get(HOME)) as Map<string, unknown>;
    await changeTo("[2]");
    await regions.rest();
    const after = [
      { disk: restored, document: { version: 3, source: "live", policies: "[1]" } },
      { disk: new Map(), document: { version: 4, source: "deployment" } },
    ];
    for (const { disk, document } of after) {
      regions.disks.set(HOME, disk);
      home = await regions.start(HOME);
      await home.ring();
      const told = document.version - 1;
      const both = await Promise.all([home.policies.later(0, told), home.policies.later(0, told)]);
      for (const each of both) expect(each).toMatchObject(document);
      await regions.rest();
      expect(regions.heard.get("weur/1")).toBe(document.version);
    }
    expect(await changeTo("[5]", 4)).toMatchObject({ version: 5 });
  });

  it("is believed by no other region's object", async () => {
    const oceania = await regions.start("oc");
    await oceania.ring();
    expect(await oceania.policies.later(0, 7)).toBeNull();
  });
});

describe("a new version", () => {
  it("reaches the owners of each region that is in use, and leaves no other one anything", async () => {
    await home.ring();
    const oceania = await regions.start("oc");
    await oceania.ring();
    await regions.rest();
    await changeTo("[1]");
    await regions.rest();
    expect(Object.fromEntries(regions.heard)).toEqual({
      "weur/0": 1,
      "weur/1": 1,
      "oc/0": 1,
      "oc/1": 1,
    });
    expect(await oceania.policies.later(0)).toMatchObject({ policies: "[1]" });
    expect(regions.disks.get("me")?.size).toBe(0);
    expect(regions.alarmsMs.size).toBe(0);
  });

  it("is sent again to owners and regions that did not answer, after a restart too", async () => {
    await home.ring();
    await (await regions.start("oc")).ring();
    await regions.rest();
    regions.silent.add("weur/1").add("oc");
    await changeTo("[1]");
    await regions.rest();
    expect(regions.heard).toEqual(new Map([["weur/0", 1]]));
    home = await regions.start(HOME);
    for (let second = 0; second < 60; second++) await regions.wait(1_000);
    expect(regions.heard).toEqual(new Map([["weur/0", 1]]));
    regions.silent.clear();
    // However long they were silent.
    await regions.wait(1_000);
    expect(Object.fromEntries(regions.heard)).toEqual({
      "weur/0": 1,
      "weur/1": 1,
      "oc/0": 1,
      "oc/1": 1,
    });
    expect(regions.alarmsMs.size).toBe(0);
  });

  it.each([
    ["an owner that hangs twice", ["weur/1"], false],
    ["a region that hangs twice", ["oc"], false],
    ["an owner that hangs twice, of a region that hangs twice", ["oc", "oc/1"], false],
    ["an owner that hangs twice while keys move to it", ["weur/1"], true],
  ])("reaches %s within 5 s", async (_, hanging, isMoving) => {
    await home.ring();
    await (await regions.start("oc")).ring();
    await regions.rest();
    regions.isMoving = isMoving;
    if (isMoving) await home.add();
    await regions.rest();
    for (const name of hanging) regions.hanging.set(name, 2);
    await changeTo("[1]");
    await regions.wait(5_000);
    const owners = [...regions.heard].map(([owner, version]) => `${owner}: ${version}`);
    const added = isMoving ? ["weur/2: 1"] : [];
    expect(owners.sort()).toEqual(["oc/0: 1", "oc/1: 1", "weur/0: 1", "weur/1: 1", ...added]);
  });

  it("leaves few calls open where an object hangs for long, and reaches it afterwards", async () => {
    await home.ring();
    await regions.rest();
    for (const name of ["oc", "weur/1"]) regions.hanging.set(name, Number.POSITIVE_INFINITY);
    await changeTo("[1]");
    await regions.wait(100_000);
    // With n calls open, n − 2 s pass before the next: 17 in 100 s, and 87 in an hour.
    expect(regions.calls.get("oc")).toBeLessThan(18);
    expect(regions.calls.get("weur/1")).toBeLessThan(18);
    regions.hanging.clear();
    await regions.wait(17_000);
    expect(regions.heard.get("weur/1")).toBe(1);
    expect(regions.alarmsMs.size).toBe(0);
  });

  it("is asked for by few open calls where home hangs, however many ask", async () => {
    await changeTo("[1]");
    await regions.rest();
    regions.calls.clear();
    regions.hanging.set(HOME, Number.POSITIVE_INFINITY);
    const oceania = await regions.start("oc");
    await oceania.ring();
    for (let second = 0; second < 100; second++) {
      oceania.policies.later(0).catch(() => {});
      await regions.wait(1_000);
    }
    expect(regions.calls.get(HOME)).toBeLessThan(18);
  });

  it("goes to an owner with the ring, when it starts and when it joins", async () => {
    await changeTo("[1]");
    await regions.rest();
    expect(await home.ring()).toMatchObject({ version: 1, live: 1 });
    await home.add();
    await regions.rest();
    expect(regions.heard.get("weur/2")).toBe(1);
  });

  it("is asked for by a region that comes into use, again and again if home is silent", async () => {
    await changeTo("[1]");
    await regions.rest();
    const oceania = await regions.start("oc");
    regions.silent.add(HOME);
    expect(await oceania.ring()).not.toHaveProperty("live");
    await regions.rest();
    await regions.wait(2_000);
    expect(regions.heard.size).toBe(0);
    regions.silent.clear();
    await regions.wait(2_000);
    expect(regions.heard).toEqual(
      new Map([
        ["oc/0", 1],
        ["oc/1", 1],
      ]),
    );
  });

  it("reaches a region that comes into use within 5 s where home hangs twice", async () => {
    await changeTo("[1]");
    await regions.rest();
    regions.hanging.set(HOME, 2);
    await (await regions.start("oc")).ring();
    await regions.wait(5_000);
    expect(Object.fromEntries(regions.heard)).toEqual({ "oc/0": 1, "oc/1": 1 });
  });

  it("is not undone by one that was under way", async () => {
    const oceania = await regions.start("oc");
    await oceania.ring();
    await changeTo("[1]");
    const first = (await home.policies.later(0)) as PoliciesDocument;
    await changeTo("[2]");
    await regions.rest();
    await oceania.policies.adopt(first);
    expect(await oceania.policies.later(0)).toMatchObject({ version: 2 });
  });

  it("is refused if it makes no sense", async () => {
    const oceania = await regions.start("oc");
    await oceania.ring();
    for (const garbage of [undefined, 7, {}, { version: -1 }, { version: 1, policies: 3 }]) {
      await expect(oceania.policies.adopt(garbage)).rejects.toThrow(/policies/);
    }
  });
});
