import { describe, expect, it } from "vitest";
import type { CacheOwner } from "../../src/cache/cache-owner.ts";
import type { CacheRpc } from "../../src/cache/rpc.ts";
import { World } from "./world.ts";

const SEEDS = Array.from({ length: Number(process.env.SEEDS ?? 20) }, (_, at) => at + 1);
const OWNERS = ["weur/0", "weur/1", "weur/2", "weur/3"];
const KEYS = ["a", "b", "c", "d", "e"];

/** Half a minute of traffic, purges, crashes, lost messages and ring changes; then calm. */
async function run(world: World): Promise<World> {
  const { schedule } = world;
  world.lossShare = schedule.pick([0, 0, 0.05, 0.3]);
  for (let atMs = 0; atMs < 30_000; atMs += 200) {
    await world.pass(200);
    for (let n = schedule.int(0, 8); n > 0; n--) world.lookUp(schedule.pick(KEYS));
    if (schedule.odds(0.1)) world.purge(schedule.pick(KEYS));
    if (schedule.odds(0.02)) world.crash(schedule.pick(OWNERS));
    if (schedule.odds(0.02)) world.endIsolate();
    if (schedule.odds(0.02)) {
      world.changeRing(["weur/0", ...OWNERS.slice(1).filter(() => schedule.odds(0.6))]);
    }
  }
  world.lossShare = 0;
  await world.pass(60_000);
  return world;
}

/** The same owner, with some methods broken on purpose. */
function broken(change: (owner: CacheOwner) => Partial<CacheRpc>) {
  return (owner: CacheOwner): CacheRpc => {
    const { find, lookUp, wait, put, purge, purgeTag } = owner;
    const methods: CacheRpc = { find, lookUp, wait, put, purge, purgeTag };
    const names = Object.keys(methods) as (keyof CacheRpc)[];
    const bound = names.map((name) => [name, owner[name].bind(owner)]);
    return { ...(Object.fromEntries(bound) as CacheRpc), ...change(owner) };
  };
}

const VARIANTS: Record<string, (owner: CacheOwner) => CacheRpc> = {
  "forgets nothing in a purge": broken(() => ({ purge() {}, purgeTag() {} })),
  "gives all computers the same number": broken((owner) => ({
    lookUp(key, newerThan) {
      const looked = owner.lookUp(key, newerThan);
      return looked.kind === "lease" ? { kind: "lease", fence: 1 } : looked;
    },
  })),
  "keeps values for ten times as long": broken((owner) => ({
    put: (key, fence, computed) =>
      owner.put(key, fence, computed && { ...computed, ttlMs: computed.ttlMs * 10 }),
  })),
  "takes what was computed during a purge": broken((owner) => ({
    purge(key) {
      if (owner.find(key)) owner.purge(key);
    },
  })),
};

describe("the cache, simulated", () => {
  it.each(SEEDS)(
    "gives no value too old or purged, and keeps nobody waiting, seed %d",
    async (seed) => {
      const world = await run(new World(seed));
      expect(world.wrong).toEqual([]);
      expect(world.open).toBe(0);
      expect(world.counts.hits).toBeGreaterThan(0);
    },
  );

  it("replays a seed", async () => {
    const [first, second] = [await run(new World(7)), await run(new World(7))];
    expect(second.counts).toEqual(first.counts);
  });

  it.each(Object.entries(VARIANTS))("catches an owner that %s", async (_, variant) => {
    let wrong = 0;
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.tamper = variant;
      wrong += (await run(world)).wrong.length;
      if (wrong > 0) break;
    }
    expect(wrong).toBeGreaterThan(0);
  });
});
