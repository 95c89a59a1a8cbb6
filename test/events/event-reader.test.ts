import { beforeEach, describe, expect, it } from "vitest";
import { Bin, MAX_NAMES, OTHER_NAME } from "../../src/events/bin.ts";
import { EventOwner } from "../../src/events/event-owner.ts";
import { EventReader } from "../../src/events/event-reader.ts";
import type { EventsRpc, Read } from "../../src/events/rpc.ts";
import type { EncodedTally } from "../../src/events/tally.ts";
import { Tally } from "../../src/events/tally.ts";
import { keyOf, UNKNOWN } from "../../src/events/tuple.ts";
import type { Stub } from "../../src/protocol/rpc.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";

import { STILL } from "../fake-runtime.ts";
import { sqliteStorage } from "./world.ts";

const DIRECTORY = "weur/directory";
const hash = (value: string) => keyHasher("secret")([value]);

let calls: string[];
beforeEach(() => {
  calls = [];
});

function tallyOf(customer: string): EncodedTally {
  const tally = new Tally(hash);
  tally.add(keyOf({ customer }), 3);
  return tally.encode();
}

function readerOf(owners: string[], failing = ""): EventReader {
  const stubOf = (name: string) =>
    ({
      owners: async () => {
        calls.push(name);
        return owners;
      },
      read: async (reads) => {
        calls.push(`${name} ${reads.map(({ what }) => what).join()}`);
        if (name === failing) throw new Error("gone");
        return reads.map(({ what }) => (what === "tally" ? tallyOf(name) : []));
      },
    }) as Stub<EventsRpc>;
  return new EventReader({ runtime: STILL, stubOf, directory: DIRECTORY, hash });
}

describe("what is asked in one turn", () => {
  it("goes to the directory and to each owner in one call", async () => {
    const reader = readerOf(["weur/0", "weur/1"]);
    const [top, points, sums] = await Promise.all([
      reader.top("api", ["customer"]),
      reader.series("api", {}, { last: "1m" }),
      reader.sums("api"),
    ]);
    expect(calls).toEqual([
      DIRECTORY,
      "weur/0 tally,tally,series,tally",
      "weur/1 tally,tally,series,tally",
    ]);
    expect(top.entries.map(({ dimensions }) => dimensions.customer)).toEqual(["weur/0", "weur/1"]);
    expect(points.length).toBeGreaterThanOrEqual(60);
    expect([...sums.keys()]).toEqual(["weur/0", "weur/1"]);
  });

  it("is not kept for the next", async () => {
    const reader = readerOf(["weur/0"]);
    await reader.top("api");
    await reader.top("api");
    expect(calls).toEqual([DIRECTORY, "weur/0 tally,tally", DIRECTORY, "weur/0 tally,tally"]);
  });

  it("rejects as a whole if one owner does not answer", async () => {
    const reader = readerOf(["weur/0", "weur/1"], "weur/1");
    const asked = await Promise.allSettled([reader.top("api"), reader.series("api")]);
    expect(asked.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });
});

describe("the heaviest values of a dimension", () => {
  it("come with all their tuples, and without those of others", async () => {
    const tally = new Tally(hash);
    tally.add(keyOf({ client: "a", outcome: "denied" }), 900);
    tally.add(keyOf({ client: "a", outcome: "allowed" }), 1);
    for (let n = 0; n < 50; n++) tally.add(keyOf({ client: `b${n}`, outcome: "allowed" }), 5 + n);
    tally.add(keyOf({ other: "x" }), 5_000);
    const reads: unknown[] = [];
    const stubOf = () =>
      ({
        owners: async () => ["weur/0"],
        read: async ([read]) => {
          reads.push(read);
          const { heaviest } = read as { heaviest: { by: string; n: number } };
          return [tally.heaviest(heaviest).encode()];
        },
      }) as Stub<EventsRpc>;
    const reader = new EventReader({ runtime: STILL, stubOf, directory: DIRECTORY, hash });
    const found = await reader.heaviest("clients", { by: "client", n: 3 }, { last: "1m" });
    expect(found).toEqual([
      { dimensions: { client: "a", outcome: "denied" }, count: 900, error: 0 },
      { dimensions: { client: "b49", outcome: "allowed" }, count: 54, error: 0 },
      { dimensions: { client: "b48", outcome: "allowed" }, count: 53, error: 0 },
      { dimensions: { client: "a", outcome: "allowed" }, count: 1, error: 0 },
    ]);
    expect(reads).toMatchObject([{ what: "tally", heaviest: { by: "client", n: 3 } }]);
    const where = { outcome: "denied" };
    const denied = await reader.heaviest("clients", { by: "client", n: 1, where }, { last: "1m" });
    expect(denied.map(({ dimensions, count }) => [dimensions.outcome, count])).toEqual([
      ...[
        ["denied", 900],
        ["allowed", 1],
      ],
    ]);
  });
});

describe("the values that were heaviest lately", () => {
  it("come with all their tuples of a longer range", async () => {
    const [all, lately] = [new Tally(hash), new Tally(hash)];
    all.add(keyOf({ client: "a" }), 900);
    all.add(keyOf({ client: "b", outcome: "denied" }), 6);
    all.add(keyOf({ client: "b", outcome: "allowed" }), 4);
    lately.add(keyOf({ client: "b", outcome: "denied" }), 6);
    const by = { by: "client", n: 1 };
    const counts = (tally: Tally) => [...tally.tuples.entries()].map(({ count }) => count);
    expect(counts(all.heaviest(by, lately))).toEqual([6, 4]);
    expect(counts(all.heaviest(by))).toEqual([900]);

    const reads: Read[] = [];
    const stubOf = () =>
      ({
        owners: async () => ["weur/0"],
        read: async (some) => {
          reads.push(...some);
          return some.map(() => null);
        },
      }) as Stub<EventsRpc>;
    const reader = new EventReader({ runtime: STILL, stubOf, directory: DIRECTORY, hash });
    const range = { last: "1m", step: "minute" } as const;
    await reader.heaviest("clients", by, range, { last: "5s", step: "second" });
    expect(reads).toMatchObject([
      { bins: { level: "minute" }, heaviest: { ...by, lately: { level: "second" } } },
    ]);
  });
});

describe("a top list by a dimension that nothing has", () => {
  it("says so", async () => {
    const reader = readerOf(["weur/0"]);
    const top = await reader.top("api", ["custmer"]);
    expect(top).toEqual({ total: 3, other: 0, entries: [], missing: ["custmer"] });
    expect(await reader.top("api", ["customer"])).not.toHaveProperty("missing");
    const twice = await reader.top("api", ["customer", "customer"]);
    expect(twice.entries).toHaveLength(1);
    const nobody = await readerOf([]).top("api", ["custmer"]);
    expect(nobody).not.toHaveProperty("missing");
  });
});

describe("a name that may not have been kept apart", () => {
  const bin = new Bin(0, 1e6, hash);
  for (let n = 0; n < MAX_NAMES + 2; n++) bin.add(`name${n}`, keyOf({ customer: "c" }), 2);
  const read = async (reads: Read[]) =>
    reads.map(({ name }) => bin.tallies.get(name)?.encode() ?? null);
  const stub = { owners: async () => ["weur/0"], read } as unknown as Stub<EventsRpc>;
  const stubOf = () => stub;
  const reader = new EventReader({ runtime: STILL, stubOf, directory: DIRECTORY, hash });

  it("has what may be of it beside its total, and is no exact number of values", async () => {
    const last = `name${MAX_NAMES + 1}`;
    expect(await reader.top(last)).toEqual({ total: 0, other: 0, entries: [], otherNames: 4 });
    expect(await reader.distinct(last, "customer")).toEqual({ count: 0, error: 4, exact: false });
    expect(await reader.top(OTHER_NAME)).toEqual({ total: 4, other: 4, entries: [] });
  });

  it("has that in the error of its series, from the open second and from the disk", async () => {
    let nowMs = 1_700_000_000_000;
    const runtime = { ...STILL, now: () => nowMs };
    const announce = async () => {};
    const storage = sqliteStorage();
    const owner = new EventOwner({ name: "weur/0", runtime, storage, hash, announce });
    const names = Array.from({ length: MAX_NAMES + 2 }, (_, n) => `name${n}`);
    const counts = names.flatMap((name) => [name, keyOf({ customer: "c" }), 2]);
    for (const number of [1, 2]) {
      await owner.record({ sender: "isolate", number, counts });
      nowMs += 1_000;
    }
    const read = async (reads: Read[]) => owner.read(reads);
    const of = { owners: async () => ["weur/0"], read } as unknown as Stub<EventsRpc>;
    const one = new EventReader({ runtime, stubOf: () => of, directory: DIRECTORY, hash });
    const seen = async (name: string, filter = {}) => {
      const points = await one.series(name, filter, { last: "1m", step: "second" });
      return points.flatMap(({ count, error }) => (count > 0 ? [[count, error]] : []));
    };
    const last = `name${MAX_NAMES + 1}`;
    expect(await seen(last)).toEqual([
      [4, 4],
      [4, 4],
    ]);
    expect(await seen(last, { customer: "c" })).toEqual([
      [4, 4],
      [4, 4],
    ]);
    expect(await seen("name0", { customer: "c" })).toEqual([
      [6, 4],
      [6, 4],
    ]);
    expect(await seen(OTHER_NAME)).toEqual([
      [4, 0],
      [4, 0],
    ]);
    owner.read([
      { what: "tally", name: "turnpike.x", bins: { level: "ever", fromMs: 0, toMs: 1 } },
    ]);
    expect(await seen(last)).toEqual([
      [4, 4],
      [4, 4],
    ]);
  });
});

describe("a name of which an isolate has sent units without their tuples", () => {
  it("may have that many more distinct values", async () => {
    const tally = new Tally(hash);
    for (let n = 0; n < 10; n++) tally.add(keyOf({ customer: `c${n}` }), 1);
    tally.add(UNKNOWN, 7);
    const read = async (reads: Read[]) =>
      reads.map(({ name }) => (name === "api" ? tally.encode() : null));
    const stub = { owners: async () => ["weur/0"], read } as unknown as Stub<EventsRpc>;
    const reader = new EventReader({
      ...{ runtime: STILL, stubOf: () => stub, directory: DIRECTORY, hash },
    });
    expect(await reader.distinct("api", "customer")).toEqual({ count: 10, error: 7, exact: false });
    expect(await reader.distinct("api", "region")).toEqual({ count: 0, error: 7, exact: false });
  });
});
