/** Several Workers of one region on one owner of cached values, all in one workerd. */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { bundleText } from "../bench/contenders.ts";
import { type Cluster, start, worker } from "../binding/cluster.ts";

const WORKERS = ["a", "b", "c", "d"];

const OWNER = `
  import { Cache as Base } from "./src/cache.ts";
  export class Cache extends Base {
    kill() { this.ctx.abort("killed by a test"); }
  }
  export default { fetch: () => new Response() };`;

/** Answers with the name of the computation that has made the value. */
const CALLER = `
  import { env } from "cloudflare:workers";
  import { cache } from "./src/cache.ts";
  let runs = 0;
  export default {
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const key = searchParams.get("key");
      if (pathname === "/runs") return Response.json(runs);
      if (pathname === "/purge") return Response.json(await cache().purge(key) ?? null);
      if (pathname === "/kill") {
        const owners = [0, 1].map((at) => env.TURNPIKE_CACHE.getByName("weur/" + at));
        const killed = await Promise.allSettled(owners.map((owner) => owner.kill()));
        return Response.json(killed.map(({ reason }) => String(reason)));
      }
      const compute = async () => {
        const run = env.NAME + ++runs;
        await scheduler.wait(Number(searchParams.get("ms")));
        return run;
      };
      return Response.json(await cache().getOrCompute(key, { ttl: "1h" }, compute));
    },
  };`;

let cluster: Cluster;
let key: string;

beforeAll(async () => {
  const [owner, caller] = await Promise.all([bundleText(OWNER, "."), bundleText(CALLER, ".")]);
  const TURNPIKE_CACHE = { className: "Cache", scriptName: "owner", useSQLite: true };
  cluster = await start(
    worker("owner", owner, {
      durableObjects: { TURNPIKE_CACHE: { className: "Cache", useSQLite: true } },
    }),
    ...WORKERS.map((name) =>
      worker(name, caller, {
        bindings: { NAME: name, OWNERS: 2, DEADLINE: "10s" },
        durableObjects: { TURNPIKE_CACHE },
      }),
    ),
  );
});
afterAll(() => cluster?.stop());
beforeEach(() => {
  key = crypto.randomUUID();
});

async function ask<Answer = string>(name: string, path: string): Promise<Answer> {
  const response = await cluster.fetch(name, `http://${name}/${path}`);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return JSON.parse(text);
}

async function runs(): Promise<number> {
  const each = await Promise.all(WORKERS.map((name) => ask<number>(name, "runs")));
  return each.reduce((sum, count) => sum + count);
}

/** Has each Worker look the key up so many times at once. */
function lookUps(times: number, ms: number): Promise<string>[] {
  const name = (at: number) => WORKERS[at % WORKERS.length] as string;
  return Array.from({ length: times }, (_, at) => ask(name(at), `?key=${key}&ms=${ms}`));
}

it("computes once for 1,000 that miss a key at once in four isolates", async () => {
  const before = await runs();
  const values = await Promise.all(lookUps(1_000, 500));
  expect(new Set(values).size).toBe(1);
  expect(await runs()).toBe(before + 1);
});

it("gives everyone a value though the owner is killed while one computes", async () => {
  const before = await runs();
  const values = lookUps(100, 1_000);
  await expect.poll(runs).toBe(before + 1);
  const killed = await ask<string[]>("a", "kill");
  expect(killed.join()).toContain("killed by a test");
  // No lookup rejects: `ask` would.
  const all = await Promise.all(values);
  expect(all.every((value) => /^[a-d]\d+$/.test(value))).toBe(true);
  // The owner is back, and knows what is computed from now on.
  key = crypto.randomUUID();
  expect(new Set(await Promise.all(lookUps(100, 100))).size).toBe(1);
});

it("serves nobody what was computed while its key was purged", async () => {
  const before = await runs();
  const purged = ask("a", `?key=${key}&ms=3000`);
  await expect.poll(runs).toBe(before + 1);
  const waiting = ask("b", `?key=${key}&ms=1`);
  await ask("c", `purge?key=${key}`);
  const value = await waiting;
  expect(value).toMatch(/^b/);
  expect(await purged).toMatch(/^a/);
  // Late, the purged value comes to its owner, which has a newer one.
  expect(await Promise.all(["b", "c", "d"].map((name) => ask(name, `?key=${key}&ms=1`)))).toEqual([
    value,
    value,
    value,
  ]);
});
