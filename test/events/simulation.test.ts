import { describe, expect, it } from "vitest";
import { WRITE_MS } from "../../src/events/event-owner.ts";
import { keyOf } from "../../src/events/tuple.ts";
import { Ring } from "../../src/ring/ring.ts";
import { Ledger, World } from "./world.ts";

const SEEDS = Array.from({ length: 30 }, (_, at) => at + 1);
const OWNERS = ["weur/0", "weur/1", "weur/2", "weur/3", "weur/4"];

interface Troubles {
  crashes: boolean;
  /** Called now and then. */
  look?: () => Promise<void>;
}

/** Half a minute of traffic, lost messages, ring changes and, if asked for, crashes; then calm. */
async function run(world: World, { crashes, look }: Troubles): Promise<void> {
  const { schedule } = world;
  world.lossShare = schedule.pick([0, 0.1, 0.4]);
  for (let atMs = 0; atMs < 30_000; atMs += schedule.int(50, 500)) {
    await world.pass(schedule.int(1, 500));
    for (let n = schedule.int(0, 20); n > 0; n--) {
      const customer = `c${schedule.int(0, 5)}`;
      world.count(customer, `/e${schedule.int(0, 3)}`, schedule.int(1, 9));
    }
    if (schedule.odds(0.1)) {
      const owners = OWNERS.filter(() => schedule.odds(0.6));
      world.ring = new Ring(["weur/0", ...owners]);
    }
    if (look && schedule.odds(0.2)) await look();
    if (crashes && schedule.odds(0.05)) world.crash(schedule.pick(OWNERS));
    if (crashes && schedule.odds(0.03)) world.endIsolate();
  }
  world.lossShare = 0;
  await world.pass(20_000);
}

async function readTuples(world: World): Promise<Ledger> {
  const { entries } = await world.reader().top("api", [], 10_000, { last: "10m" });
  const found = new Ledger();
  for (const { dimensions, count, error } of entries) {
    expect(error).toBe(0);
    found.add(keyOf(dimensions), count);
  }
  return found;
}

/** Neither more than was sent, nor less than that without what may be lost. */
function wrongIn(world: World, found: Ledger): string[] {
  return [...new Set([...world.sent.keys(), ...found.keys()])].filter((key) => {
    const [sent, read] = [world.sent.get(key) ?? 0, found.get(key) ?? 0];
    return read > sent || read < sent - (world.mayBeLost.get(key) ?? 0);
  });
}

describe("events, simulated", () => {
  it.each(SEEDS)("are exact through lost messages and ring changes, seed %d", async (seed) => {
    const world = new World(seed);
    await run(world, { crashes: false });
    expect(Object.fromEntries(await readTuples(world))).toEqual(Object.fromEntries(world.sent));
    const points = await world.reader().series("api", {}, { last: "10m" });
    expect(points.reduce((sum, { count }) => sum + count, 0)).toBe(world.sent.total);
  });

  it.each(SEEDS)("lose an interval in a crash, and count nothing twice, seed %d", async (seed) => {
    const world = new World(seed);
    await run(world, { crashes: true });
    expect(wrongIn(world, await readTuples(world))).toEqual([]);
    for (const owner of world.owners) world.crash(owner);
    expect(wrongIn(world, await readTuples(world))).toEqual([]);
  });

  it.each(SEEDS)("show each owner's sums growing through crashes, seed %d", async (seed) => {
    const world = new World(seed);
    world.name = "turnpike.api";
    let shown = new Ledger();
    const look = async () => {
      const sums = new Ledger();
      for (const [owner, entries] of await world.reader().sums(world.name)) {
        for (const { dimensions, count } of entries) sums.add(owner + keyOf(dimensions), count);
      }
      const fallen = [...shown].filter(([id, count]) => (sums.get(id) ?? 0) < count);
      expect(fallen).toEqual([]);
      shown = sums;
    };
    await run(world, { crashes: true, look });
    await look();
    for (const owner of world.owners) world.crash(owner);
    await look();
    const all = new Ledger();
    for (const [id, count] of shown) all.add(id.slice(id.indexOf("[")), count);
    expect(wrongIn(world, all)).toEqual([]);
  });

  it("catches an owner that counts a batch as often as it is sent", async () => {
    const wrong: string[] = [];
    for (const seed of SEEDS) {
      const world = new World(seed);
      let number = 0;
      world.tamper = (batch) => ({ ...batch, number: ++number });
      await run(world, { crashes: false });
      wrong.push(...wrongIn(world, await readTuples(world)));
    }
    expect(wrong.length).toBeGreaterThan(0);
  });

  it("catches an owner that writes later than after an interval", async () => {
    const wrong: string[] = [];
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.lateMs = WRITE_MS;
      await run(world, { crashes: true });
      for (const owner of world.owners) world.crash(owner);
      wrong.push(...wrongIn(world, await readTuples(world)));
    }
    expect(wrong.length).toBeGreaterThan(0);
  });
});
