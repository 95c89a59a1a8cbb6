/**
 * `npm run bench:cache`: what the cache costs and saves, as ratios of rounds that take turns on one
 * Worker; and the memory of an owner that is asked for a million keys.
 */
import { join } from "node:path";
import autocannon from "autocannon";
import { build } from "esbuild";
import { CacheOwner } from "../../src/cache/cache-owner.ts";
import { runtimeWith } from "../../src/runtime.ts";
import { startWorkerd } from "./workerd-server.ts";

const CONNECTIONS = 64;
const KEYS = 50_000;
const MANY_KEYS = 1_000_000;
const [rounds = 3, seconds = 4] = process.argv.slice(2).map(Number);

/** More than a response's head and body here, so that no value is only overhead. */
const VALUE_BYTES = 200;

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
  const slow = async (c) => { await scheduler.wait(50); return c.text("done"); };
  const app = new Hono();
  app.get("/bare/:key", async (c) => {
    const stub = c.env.TURNPIKE_OWNERS.getByName("weur/" + (Number(c.req.param("key")) % 4));
    return c.body((await stub.bare(c.req.param("key"))).held.value);
  });
  app.get("/owner/:key", async (c) =>
    c.body(await cache().getOrCompute(c.req.param("key"), options, () => value)));
  app.get("/nothing", (c) => c.text("done"));
  app.get("/copy", cached(options), (c) => c.text("done"));
  app.get("/slow", slow);
  app.get("/stampede", cached(options), slow);
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
  await compare("stampede", "slow", "64 connections, 50 ms to compute, ÷ no cache (aim 20)");
} finally {
  await worker.stop();
}

async function compare(path: string, other: string, title: string): Promise<void> {
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = round % 2 ? other : path;
    const one = await requestsPerSecond(first);
    const two = await requestsPerSecond(first === path ? other : path);
    ratios.push(first === path ? one / two : two / one);
  }
  ratios.sort((a, b) => a - b);
  const [least, most] = [ratios[0], ratios.at(-1)] as [number, number];
  const middle = ratios[Math.floor(ratios.length / 2)] as number;
  console.log(`${title}: ${middle.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`);
}

async function requestsPerSecond(path: string): Promise<number> {
  const isKeyed = path === "owner" || path === "bare";
  const requests = Array.from({ length: isKeyed ? 512 : 1 }, () => ({
    setupRequest: (request: autocannon.Request) => ({
      ...request,
      path: isKeyed ? `/${path}/${Math.floor(Math.random() * KEYS)}` : `/${path}`,
    }),
  }));
  const url = worker.url.replace(/\/$/, "");
  const result = await autocannon({ url, connections: CONNECTIONS, duration: seconds, requests });
  if (result.non2xx + result.errors > 0) throw new Error(`${path}: ${result.non2xx} refused`);
  return result.requests.total / result.duration;
}

/** Has an owner keep far more than fits, and tells what it takes of the process. */
async function fill(): Promise<void> {
  const used = () => {
    globalThis.gc?.();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const owner = new CacheOwner(runtimeWith(() => {}));
  for (let at = 0; at < MANY_KEYS; at++) {
    const key = `http-1 https://site.example/search?q=${at}`;
    const looked = await owner.lookUp(key, 0);
    if (looked.kind !== "lease") throw new Error(looked.kind);
    const value = new Uint8Array(VALUE_BYTES);
    await owner.put(key, looked.fence, { value, ttlMs: 3_600_000, tags: [] });
  }
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  console.log(
    `an owner asked for ${MANY_KEYS} keys: ${megabytes(used() - before)} MB of ${megabytes(owner.bytes)} MB counted`,
  );
}
