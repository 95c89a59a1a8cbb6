import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { RingOwner } from "../../src/owner/change/ring-owner.ts";
import { Owner } from "../../src/owner/owner.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import type { TableRows } from "../../src/protocol/rpc.ts";
import { encodeBatch } from "../../src/protocol/wire.ts";
import { type Answer, decodeAnswer } from "../../src/protocol/wire-answer.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import { STILL } from "../fake-runtime.ts";
import { RELEASED, RELEASED_AT_MS, RELEASED_BLOCKED } from "../protocol/recorded.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const KEYS = Array.from({ length: 200 }, (_, n) => sipHash(PUBLIC_SIP_KEY, `${n}`));
const TWO = ["weur/0", "weur/1"];
const THREE = [...TWO, "weur/2"];
const BEFORE: RingRecord = { version: 1, owners: TWO, lost: [] };
const DURING: RingRecord = {
  version: 2,
  owners: THREE,
  previous: { version: 1, owners: TWO },
  lost: [],
};
const ALGORITHM_NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
const [SPENT, BLOCKED] = [RELEASED, RELEASED_BLOCKED].map(({ rows }) =>
  Object.entries(rows).map(([table, digits]) => ({ table, bytes: bytesOf(digits) })),
) as [TableRows[], TableRows[]];
const AFTER: RingRecord = { version: 2, owners: THREE, lost: [] };

/** The owners of a region in one process, and what the membership object would answer. */
class Region {
  ring = BEFORE;
  readonly storages = new Map<string, MemoryStorage>();
  readonly members = new Map<string, RingOwner>();
  /** Calls to the membership object, or from one owner to another. */
  readonly calls: string[] = [];
  readonly silent = new Set<string>();

  async start(name: string, maxBytes?: number): Promise<RingOwner> {
    const storage = this.storages.get(name) ?? new MemoryStorage();
    this.storages.set(name, storage);
    const member = new RingOwner({
      name,
      runtime: STILL,
      storage,
      ownerStub: (other) => ({
        release: (...asked) => this.#ask("release", other, (peer) => peer.release(...asked)),
        releaseSome: (...asked) =>
          this.#ask("releaseSome", other, (peer) => peer.releaseSome(...asked)),
      }),
      membershipStub: () => ({
        ring: () => this.#ask("ring", "membership", async () => this.ring),
        reportLoad: () => this.#ask("reportLoad", "membership", async () => {}),
      }),
      deadlineMs: 100,
      highWater: 400,
      newOwner: (options) => new Owner({ ...options, maxBytes }),
    });
    await member.load();
    this.members.set(name, member);
    return member;
  }

  of(name: string): RingOwner {
    return this.members.get(name) as RingOwner;
  }

  async #ask<Reply>(verb: string, who: string, act: (peer: RingOwner) => Promise<Reply>) {
    this.calls.push(`${verb} ${who}`);
    if (this.silent.has(who)) return new Promise<never>(() => {});
    return act(this.members.get(who) as RingOwner);
  }
}

let region: Region;
let lines: string[];

beforeEach(async () => {
  lines = [];
  vi.spyOn(console, "warn").mockImplementation((line) => void lines.push(line));
  vi.spyOn(console, "error").mockImplementation((line) => void lines.push(line));
  region = new Region();
  for (const name of THREE) await region.start(name);
  region.calls.length = 0;
});

afterEach(() => vi.restoreAllMocks());

/** Asks an owner about all keys, by a ring of that version. */
async function check(name: string, version: number, cost = 1, keys = KEYS) {
  const policies = [{ ...TEN_A_DAY, cost }];
  const checks = keys.map((key) => ({ key, policies }));
  const answer = await region.of(name).check(encodeBatch({ version, checks }));
  return decodeAnswer(answer, checks) as Answer;
}

const held = (ring: string[], name: string) =>
  KEYS.filter((key) => new Ring(ring).ownerOf(key) === name);

async function adopt(ring: RingRecord): Promise<void> {
  region.ring = ring;
  for (const name of THREE) await region.of(name).adopt(ring);
}

describe("an owner in a ring", () => {
  it("asks no other object while the ring is settled", async () => {
    for (let n = 0; n < 100; n++) {
      const answer = region.of("weur/0").check(encodeBatch({ version: 1, checks: [] }));
      expect(answer).not.toBeInstanceOf(Promise);
    }
    expect(region.calls).toEqual([]);
  });

  it("begins an epoch with each ring, since keys that come back may have been reset elsewhere", async () => {
    const epochs: unknown[] = [];
    for (const ring of [BEFORE, DURING, AFTER]) {
      await adopt(ring);
      epochs.push((await check("weur/0", ring.version)).epoch);
    }
    expect(new Set(epochs).size).toBe(3);
  });

  it("counts its own keys for a caller that only guesses, and tells it the ring", async () => {
    const answers = [await check("weur/0", 0), await check("weur/1", 0)];
    for (const { ring } of answers) expect(ring).toEqual(BEFORE);
    for (const [at] of KEYS.entries()) {
      expect(answers.filter(({ verdicts }) => verdicts[at])).toHaveLength(1);
    }
    expect((await check("weur/2", 0)).verdicts.every((each) => each === undefined)).toBe(true);
  });

  it("answers with the ring for a key that has moved, and counts nothing", async () => {
    await adopt(DURING);
    const { verdicts, ring } = await check("weur/0", 1);
    expect(ring).toEqual(DURING);
    const mine = held(THREE, "weur/0");
    expect(KEYS.filter((_, at) => verdicts[at])).toEqual(mine);
  });

  it("imports a key before it counts it, even if the ring comes while the check waits", async () => {
    await check("weur/0", 0, 4);
    await check("weur/1", 0, 4);
    region.ring = DURING;
    for (const name of TWO) await region.of(name).adopt(DURING);
    const mine = held(THREE, "weur/2");
    for (let ticks = 0; ticks < 20; ticks++) {
      region.storages.delete("weur/2");
      region.ring = BEFORE;
      await region.start("weur/2");
      region.ring = DURING;
      const checking = check("weur/2", 0, 3, mine);
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      await region.of("weur/2").adopt(DURING);
      for (const each of (await checking).verdicts) expect(each?.[0]?.remaining ?? 3).toBe(3);
    }
  });

  it("takes over what a key has spent, once, before it counts the key", async () => {
    await check("weur/0", 0, 4);
    await check("weur/1", 0, 4);
    await adopt(DURING);
    const mine = held(THREE, "weur/2");
    const both = await Promise.all([check("weur/2", 2, 3, mine), check("weur/2", 2, 3, mine)]);
    expect(both[0]?.verdicts.every((each) => each?.[0]?.remaining === 3)).toBe(true);
    expect(both[1]?.verdicts.every((each) => each?.[0]?.remaining === 0)).toBe(true);
    expect(region.calls.sort()).toEqual(["release weur/0", "release weur/1"]);
    expect(both.some(({ inexact }) => inexact)).toBe(false);
  });

  it("takes over all the rest, keeps what was taken before, and then asks no one", async () => {
    await check("weur/0", 0, 4);
    await check("weur/1", 0, 4);
    await adopt(DURING);
    const mine = held(THREE, "weur/2");
    await check("weur/2", 2, 5, mine.slice(0, 10));
    expect(await region.of("weur/2").takeOver(2)).toEqual({ isDone: true, silent: [] });
    await adopt(AFTER);
    region.calls.length = 0;
    const { verdicts } = await check("weur/2", 2, 1, mine);
    expect(verdicts.map((each) => each?.[0]?.remaining)).toEqual(
      mine.map((_, at) => (at < 10 ? 0 : 5)),
    );
    expect(region.calls).toEqual([]);
    const keys = THREE.map((name) => region.of(name).status().keys);
    expect(keys).toEqual(THREE.map((name) => held(THREE, name).length));
  });

  it("counts anew if the previous owner does not answer, and says that it is inexact", async () => {
    await check("weur/0", 0, 10);
    await check("weur/1", 0, 10);
    await adopt(DURING);
    region.silent.add("weur/0");
    const mine = held(THREE, "weur/2");
    const { verdicts, inexact } = await check("weur/2", 2, 1, mine);
    const before = new Ring(TWO);
    for (const [at, key] of mine.entries()) {
      const isLost = before.ownerOf(key) === "weur/0";
      expect(verdicts[at]?.[0]?.allowed).toBe(isLost);
      expect(inexact?.[at] ?? false).toBe(isLost);
    }
    expect(
      await region
        .of("weur/2")
        .takeOver(2)
        .then(({ isDone }) => isDone),
    ).toBe(false);
  }, 180_000);

  it("refuses counters released for another version, and begins anew", async () => {
    await check("weur/0", 0, 10);
    await check("weur/1", 0, 10);
    await adopt(DURING);
    const mine = held(THREE, "weur/2");
    for (const name of TWO) {
      vi.spyOn(region.of(name), "release").mockResolvedValue({
        version: 1,
        atMs: Date.now(),
        what: { rows: [] },
      });
    }
    const { verdicts, inexact } = await check("weur/2", 2, 1, mine);
    expect(verdicts.every((each) => each?.[0]?.remaining === 9)).toBe(true);
    expect(inexact).toEqual(mine.map(() => true));
    expect(lines.at(-1)).toContain("released for version 1, not 2");
  });

  it("is as inexact as the owner that it imports from, after a restart, too", async () => {
    const policies = [{ ...TEN_A_DAY, durable: true }];
    const checks = KEYS.map((key) => ({ key, policies }));
    await region.of("weur/0").check(encodeBatch({ version: 1, checks }));
    // One bit on the disk of weur/0 flips: its counts of any key may be lost.
    const { entries } = region.storages.get("weur/0") as MemoryStorage;
    for (const value of entries.values()) {
      if (value instanceof Uint8Array) value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
    }
    await region.start("weur/0");
    await adopt(DURING);
    const mine = held(THREE, "weur/2");
    const { inexact } = await check("weur/2", 2, 1, mine);
    expect(inexact).toEqual(mine.map(() => true));
    await region.of("weur/2").takeOver(2);
    await adopt(AFTER);
    await region.start("weur/2");
    expect((await check("weur/2", 2, 1, mine)).inexact).toEqual(mine.map(() => true));
    expect((await check("weur/1", 2)).inexact).toBeUndefined();
  });

  it("hears from the previous owner that the ring has settled, and has that on disk first", async () => {
    const mine = held(THREE, "weur/2");
    await adopt(DURING);
    await region.of("weur/2").takeOver(2);
    for (const name of TWO) await region.of(name).adopt(AFTER);
    expect(await region.of("weur/0").release(2, mine)).toEqual({ moved: AFTER });
    const { verdicts, inexact } = await check("weur/2", 2, 1, mine);
    expect(verdicts.map((each) => each?.[0]?.remaining)).toEqual(mine.map(() => 9));
    expect(inexact).toBeUndefined();
    expect(region.storages.get("weur/2")?.entries.get("ring")).toEqual(AFTER);
  });

  it("asks the membership object if a caller knows a later ring", async () => {
    region.ring = DURING;
    const { verdicts } = await check("weur/0", 2);
    expect(KEYS.filter((_, at) => verdicts[at])).toEqual(held(THREE, "weur/0"));
    expect(region.calls).toEqual(["ring membership"]);
  });

  it("refuses a ring that does not exist, and goes on with its own", async () => {
    const { verdicts, ring } = await check("weur/0", 7);
    expect(KEYS.filter((_, at) => verdicts[at])).toEqual(held(TWO, "weur/0"));
    expect(ring).toEqual(BEFORE);
    expect(lines.pop()).toContain('"ring-refused","owner":"weur/0","version":7,"known":1');
    await expect(region.of("weur/0").release(7, [])).rejects.toThrow("no ring has the version 7");
    const rings = [
      { ...AFTER, version: 0 },
      { ...AFTER, version: 2 ** 40 },
      { ...AFTER, owners: [] },
      { ...AFTER, owners: ["enam/0"] },
      { ...AFTER, owners: ["weur/0", "weur/0"] },
      "ring",
      null,
    ];
    for (const ring of rings) {
      await expect(region.of("weur/0").adopt(ring)).rejects.toThrow("not a ring of this region");
    }
    // Told once, in the same minute.
    expect(lines).toEqual([]);
    await region.of("weur/0").adopt({ ...BEFORE, owners: ["weur/1"] });
    expect((await check("weur/0", 1)).verdicts).toHaveLength(KEYS.length);
    expect((await check("weur/0", 0)).ring).toEqual(BEFORE);
  });

  it("knows after a restart that keys have moved, even if its storage was deleted", async () => {
    const alone: RingRecord = { version: 3, owners: ["weur/1"], lost: [] };
    await adopt(DURING);
    await region.start("weur/0");
    expect((await check("weur/0", 1)).ring).toEqual(DURING);
    await adopt(alone);
    expect(region.storages.get("weur/0")?.entries.size).toBe(0);
    await region.start("weur/0");
    const { verdicts, ring } = await check("weur/0", 1);
    expect(ring).toEqual(alone);
    expect(verdicts.every((each) => each === undefined)).toBe(true);
  });

  it("takes over from an owner that was given up once and has come back", async () => {
    const lost = [{ owner: "weur/1", owners: TWO, atMs: Date.now() }];
    const alone = ["weur/0"];
    const theirs = held(TWO, "weur/1");
    await adopt({ version: 2, owners: alone, lost });
    await adopt({ version: 3, owners: TWO, previous: { version: 2, owners: alone }, lost });
    await region.of("weur/1").takeOver(3);
    await adopt({ version: 3, owners: TWO, lost });
    await check("weur/1", 3, 10, theirs);
    await adopt({ version: 4, owners: alone, previous: { version: 3, owners: TWO }, lost });
    await region.of("weur/0").takeOver(4);
    const { verdicts } = await check("weur/0", 4, 1, theirs);
    expect(verdicts.map((each) => each?.[0]?.allowed)).toEqual(theirs.map(() => false));
  });

  it("takes over no more than its bound when two full owners become one", async () => {
    const maxBytes = 200_000;
    const many = Array.from({ length: 20_000 }, (_, n) => sipHash(PUBLIC_SIP_KEY, `many ${n}`));
    for (const name of TWO) {
      await region.start(name, maxBytes);
      await check(name, 1, 10, many);
    }
    expect(region.of("weur/0").status().fill).toBeGreaterThan(0.9);
    const owners = ["weur/0"];
    await adopt({ version: 2, owners, previous: { version: 1, owners: TWO }, lost: [] });
    expect(await region.of("weur/0").takeOver(2)).toMatchObject({ isDone: true });
    expect(region.of("weur/0").status().fill).toBeLessThanOrEqual(1);
    await adopt({ version: 2, owners, lost: [] });
    expect(region.of("weur/0").status().keys).toBeGreaterThan(0.3 * (maxBytes / 24));
  });

  it("imports the rows that an owner of the version before releases", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: RELEASED_AT_MS });
    region = new Region();
    for (const name of THREE) await region.start(name);
    for (const name of TWO) {
      vi.spyOn(region.of(name), "release").mockImplementation(async (version, asked) => ({
        version,
        atMs: RELEASED_AT_MS,
        what: { rows: asked.flatMap(({ lo }) => (lo === RELEASED.key.lo ? SPENT : BLOCKED)) },
      }));
    }
    await adopt({ ...DURING, owners: ["weur/2"] });
    const policies = ALGORITHM_NAMES.map((algorithm) => ({ ...TEN_A_DAY, name: "p", algorithm }));
    const checks = [RELEASED, RELEASED_BLOCKED].map(({ key }) => ({ key, policies }));
    const given = await region.of("weur/2").peek(encodeBatch({ version: 2, checks }));
    vi.useRealTimers();
    const { verdicts: [spent, blocked] = [], inexact } = decodeAnswer(given, checks) ?? {};
    expect(spent?.map(({ remaining }) => remaining)).toEqual(policies.map(() => 7));
    expect(blocked?.map(({ reason }) => reason)).toEqual(policies.map(() => "blocked"));
    expect(inexact).toEqual([undefined, true]);
  });

  it("takes over a block, and undoes nothing that an operator does meanwhile", async () => {
    const [key] = held(THREE, "weur/2").filter((each) => new Ring(TWO).ownerOf(each) === "weur/0");
    if (!key) throw new Error("no key moves");
    await region.of("weur/0").block(1, key, 60_000);
    await check("weur/0", 1, 10, [key]);
    await adopt(DURING);
    expect(await region.of("weur/0").unblock(1, key)).toEqual({ moved: DURING });
    const left = async () => (await check("weur/2", 2, 1, [key])).verdicts[0]?.[0];
    expect(await left()).toMatchObject({ allowed: false, reason: "blocked" });
    await region.of("weur/2").unblock(2, key);
    await region.of("weur/2").takeOver(2);
    expect(await left()).toMatchObject({ allowed: true, remaining: 9 });
  });

  it("takes over an override, and ends it at its new owner only", async () => {
    const [key] = held(THREE, "weur/2").filter((each) => new Ring(TWO).ownerOf(each) === "weur/0");
    if (!key) throw new Error("no key moves");
    await check("weur/0", 1, 4, [key]);
    await region.of("weur/0").override(1, key, TEN_A_DAY, 20, 60_000);
    await adopt(DURING);
    const left = async () => (await check("weur/2", 2, 1, [key])).verdicts[0]?.[0];
    expect(await left()).toMatchObject({ remaining: 15, limit: 20 });
    expect(await region.of("weur/0").override(1, key, TEN_A_DAY, null, 0)).toEqual({
      moved: DURING,
    });
    await region.of("weur/2").override(2, key, TEN_A_DAY, null, 0);
    await region.of("weur/2").takeOver(2);
    const after = await left();
    expect(after).toMatchObject({ remaining: 4 });
    expect(after).not.toHaveProperty("limit");
  });
});

function bytesOf(digits: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
