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

/**
 * Answers with the names of the computations that have made the values. A computation that is held
 * lasts until `/release`.
 */
const CALLER = `
  import { env } from "cloudflare:workers";
  import { cache } from "./src/cache.ts";
  let runs = 0;
  let isReleased = false;
  const routes = {
    "/runs": () => runs,
    "/purge": ({ key }) => cache().purge(key),
    "/release": () => { isReleased = true; },
    "/kill": async () => {
      const owners = [0, 1].map((at) => env.TURNPIKE_CACHE.getByName("weur/" + at));
      const killed = await Promise.allSettled(owners.map((owner) => owner.kill()));
      return killed.map(({ reason }) => String(reason));
    },
    "/look-up": ({ key, times, held }) => {
      const compute = async () => {
        const run = env.NAME + ++runs;
        isReleased = false;
        do await scheduler.wait(50); while (held && !isReleased);
        return run;
      };
      const lookUp = () => cache().getOrCompute(key, { ttl: "1h" }, compute);
      return Promise.all(Array.from({ length: Number(times) }, lookUp));
    },
  };
  export default {
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      return Response.json((await routes[pathname](Object.fromEntries(searchParams))) ?? null);
    },
  };`;

/** More than a busy machine takes. */
const SETTLED = { timeout: 60_000 };

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

function lookUp(name: string, times = 1, held = ""): Promise<string[]> {
  return ask(name, `look-up?key=${key}&times=${times}&held=${held}`);
}

/** Has each Worker look the key up several times at once. */
async function lookUpInAll(times: number, held = ""): Promise<string[]> {
  return (await Promise.all(WORKERS.map((name) => lookUp(name, times, held)))).flat();
}

it("computes once for 1,000 that miss a key at once in four isolates", async () => {
  const before = await runs();
  const values = await lookUpInAll(250);
  expect(values).toHaveLength(1_000);
  expect(new Set(values).size).toBe(1);
  expect(await runs()).toBe(before + 1);
});

it("gives everyone a value though the owner is killed while one computes", async () => {
  const before = await runs();
  const values = lookUpInAll(25, "until released");
  await expect.poll(runs, SETTLED).toBe(before + 1);
  expect((await ask<string[]>("a", "kill")).join()).toContain("killed by a test");
  // Of those that waited each computes for itself.
  await expect.poll(runs, SETTLED).toBe(before + 100);
  await Promise.all(WORKERS.map((name) => ask(name, "release")));
  // No lookup throws: `ask` would reject.
  expect(new Set(await values).size).toBe(100);
  key = crypto.randomUUID();
  expect(new Set(await lookUpInAll(25)).size).toBe(1);
});

it("serves nobody what was computed while its key was purged", async () => {
  const before = await runs();
  const purged = lookUp("a", 1, "until released");
  await expect.poll(runs, SETTLED).toBe(before + 1);
  const waiting = lookUp("b");
  await ask("c", `purge?key=${key}`);
  const [value] = await waiting;
  expect(value).toMatch(/^b/);
  await ask("a", "release");
  const [late] = await purged;
  expect(late).toMatch(/^a/);
  const values = await lookUpInAll(1);
  expect(new Set(values).size).toBe(1);
  expect(values).not.toContain(late);
});
