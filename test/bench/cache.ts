/**
 * `npm run bench:cache`: what the cache costs and saves, as ratios of rounds that take turns on one
 * Worker; and the memory of an owner that is asked for a million keys.
 */
import { join } from "node:path";
import autocannon from "autocannon";
import { build } from "esbuild";
import { CacheOwner } from "../../src/cache/cache-owner.ts";
import { runtimeWith } from "../../src/runtime.ts";
import { median } from "./statistics.ts";
import { startWorkerd } from "./workerd-server.ts";

const CONNECTIONS = 64;
const KEYS = 50_000;
const MANY_KEYS = 1_000_000;
const [rounds = 3, seconds = 4] = process.argv.slice(2).map(Number);

/** More than a response's head and body here, so that no value is only overhead. */
const VALUE_BYTES = 200;
const WAIT_MS = 45;
const CPU_MS = 5;

const WORKER = `
  import { DurableObject } from "cloudflare:workers";
  import { Hono } from "hono";
  import { cache, cached } from ${JSON.stringify(join(import.meta.dirname, "../../src/cache.ts"))};
  export { Cache } from ${JSON.stringify(join(import.meta.dirname, "../../src/cache.ts"))};
  const value = new Uint8Array(${VALUE_BYTES});
  export class RateLimiter extends DurableObject {
    bare(key) { return { kind: "held", held: { value, ageMs: 1, leftMs: 1_000, version: 1 } }; }
  }
  const options = { ttl: "1h" };
  const slow = async (c) => { await scheduler.wait(${WAIT_MS + CPU_MS}); return c.text("done"); };
  const busy = async (c) => {
    await scheduler.wait(${WAIT_MS});
    (${spin})(${spinsIn(CPU_MS)});
    return c.text("done");
  };
  const app = new Hono();
  app.get("/bare/:key", async (c) => {
    const stub = c.env.TURNPIKE_OWNERS.getByName("weur/" + (Number(c.req.param("key")) % 4));
    return c.body((await stub.bare(c.req.param("key"))).held.value);
  });
  app.get("/owner/:key", async (c) =>
    c.body(await cache().getOrCompute(c.req.param("key"), options, () => value)));
  app.get("/nothing", (c) => c.text("done"));
  app.get("/copy", cached(options), (c) => c.text("done"));
  // What a hit answers, without a cache.
  const fields = {
    age: "1",
    "cache-status": "turnpike; hit; ttl=3599",
    "content-length": "4",
    "content-type": "text/plain;charset=UTF-8",
    date: new Date(0).toUTCString(),
  };
  const done = new TextEncoder().encode("done");
  app.get("/fields", async () => new Response(done, { headers: fields }), (c) => c.text("done"));
  app.get("/slow", slow);
  app.get("/stampede", cached(options), slow);
  app.get("/busy", busy);
  app.get("/busy-stampede", cached(options), busy);
  export default app;`;

// First: what the loads leave behind would count, too.
await fill();
const { outputFiles } = await build({
  stdin: { contents: WORKER, resolveDir: import.meta.dirname, loader: "ts" },
  bundle: true,
  write: false,
  format: "esm",
  external: ["cloudflare:workers"],
});
const worker = await startWorkerd({
  script: outputFiles[0]?.text ?? "",
  vars: { DEADLINE: "10s" },
  hasObjects: true,
  hasCache: true,
});

try {
  for (let key = 0; key < KEYS; key += CONNECTIONS) {
    const some = Array.from({ length: CONNECTIONS }, (_, at) => `${worker.url}owner/${key + at}`);
    await Promise.all(some.map(async (url) => (await fetch(url)).arrayBuffer()));
  }
  await compare("owner", "bare", "hit from the owner ÷ bare RPC (aim 0.9)");
  await compare("copy", "nothing", "hit from the isolate's copy ÷ no cache (aim 0.9)");
  await compare("fields", "nothing", "a middleware that answers with the same fields ÷ no cache");
  await compare("busy-stampede", "busy", "64 connections, 50 ms, 5 of CPU, ÷ no cache (aim 20)");
  // A handler that only waits answers 64 connections 1,280 times a second, cache or not.
  await compare("stampede", "slow", "64 connections, 50 ms of waiting, ÷ no cache");
  await compare("nothing", "slow", "the same, a handler that does nothing ÷ no cache");
} finally {
  await worker.stop();
}

interface Rates {
  perSecond: number;
  perCpuSecond: number;
}

async function compare(path: string, other: string, title: string): Promise<void> {
  const ratios: Rates[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = round % 2 ? other : path;
    const rates = await ratesOf(first);
    const others = await ratesOf(first === path ? other : path);
    const [own, compared] = first === path ? [rates, others] : [others, rates];
    ratios.push({
      perSecond: own.perSecond / compared.perSecond,
      perCpuSecond: own.perCpuSecond / compared.perCpuSecond,
    });
  }
  const bySecond = spread(ratios.map(({ perSecond }) => perSecond));
  const byCpuSecond = spread(ratios.map(({ perCpuSecond }) => perCpuSecond));
  console.log(`${title}: ${bySecond} by the second, ${byCpuSecond} by the second of CPU`);
}

function spread(ratios: readonly number[]): string {
  const [middle, least, most] = [median(ratios), Math.min(...ratios), Math.max(...ratios)];
  return `${middle.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
}

async function ratesOf(path: string): Promise<Rates> {
  const isKeyed = path === "owner" || path === "bare";
  const requests = Array.from({ length: isKeyed ? 512 : 1 }, () => ({
    setupRequest: (request: autocannon.Request) => ({
      ...request,
      path: isKeyed ? `/${path}/${Math.floor(Math.random() * KEYS)}` : `/${path}`,
    }),
  }));
  const url = worker.url.replace(/\/$/, "");
  const cpu = () => worker.cpuSeconds() ?? Number.NaN;
  const before = cpu();
  const result = await autocannon({ url, connections: CONNECTIONS, duration: seconds, requests });
  const { total } = result.requests;
  if (result.non2xx + result.errors > 0) throw new Error(`${path}: ${result.non2xx} refused`);
  if (total === 0) throw new Error(`${path}: no answer in ${seconds} s`);
  return { perSecond: total / result.duration, perCpuSecond: total / (cpu() - before) };
}

/** Keeps a CPU busy. It stands in the Worker, too. */
function spin(times: number): number {
  let mixed = 0;
  for (let at = 0; at < times; at++) mixed = Math.imul(mixed ^ at, 0x85ebca6b);
  return mixed;
}

function spinsIn(ms: number): number {
  const times = 10_000_000;
  spin(times);
  const beginMs = performance.now();
  spin(times);
  return Math.round((times * ms) / (performance.now() - beginMs));
}

/** Has an owner keep far more than fits, and tells what it takes of the process. */
async function fill(): Promise<void> {
  const used = async () => {
    for (let times = 0; times < 4; times++) {
      globalThis.gc?.();
      // Buffers are freed later.
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  await used();
  const before = await used();
  const owner = new CacheOwner(runtimeWith(() => {}));
  for (let at = 0; at < MANY_KEYS; at++) {
    const key = `http-1 https://site.example/search?q=${at}`;
    const looked = owner.lookUp(key, 0);
    if (looked.kind !== "lease") throw new Error(looked.kind);
    const value = new Uint8Array(VALUE_BYTES);
    owner.put(key, looked.fence, { value, ttlMs: 3_600_000, tags: [] });
  }
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  console.log(
    `an owner asked for ${MANY_KEYS} keys: ${megabytes((await used()) - before)} MB of ${megabytes(owner.bytes)} MB counted`,
  );
}
