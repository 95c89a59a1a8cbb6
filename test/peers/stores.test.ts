/**
 * Four limiters for Node as they are published, over `turnpike/store` and a running Worker.
 *
 * Their own tests were run too, with the core in place of their stores in memory: of 57, 243, 110
 * and 98 tests 51, 231, 103 and 92 pass. None fails for a wrong count. What differs on purpose:
 *
 * - Nobody can look into a store: it keeps hashes, not keys (nine tests look).
 * - A window has a second at least: a shorter one may end before its answer is there (four tests
 *   each of hono-rate-limiter and express-rate-limit).
 * - A key whose hits were all taken back counts as never seen (one test of express-rate-limit).
 * - A window belongs to a limiter, not to a key (`set` of rate-limiter-flexible).
 * - A count never goes below 0, since only what was spent is given back (its `reward`).
 * - A client that tries on does not wait longer; `blockFor` does that (five tests of
 *   `@fastify/rate-limit`, with `continueExceeding` and `exponentialBackoff`).
 *
 * The other six are skipped, need a Redis, or fail with their own stores too.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fastifyRateLimit from "@fastify/rate-limit";
import express from "express";
import { rateLimit } from "express-rate-limit";
import fastify from "fastify";
import { Hono } from "hono";
import { rateLimiter } from "hono-rate-limiter";
import { RateLimiterUnion } from "rate-limiter-flexible";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { TurnpikeStore } from "../../src/store.ts";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";
import { fastifyStore } from "./fastify-store.ts";
import { FlexibleStore } from "./flexible-store.ts";

/** Long enough for a busy machine. */
const LONG_MS = 3_600_000;
const SHORT_MS = 1_000;

let server: WorkerdServer;
let api: string;
beforeAll(async () => {
  server = await startWorkerd({
    script: await bundleFile("src/worker.ts"),
    vars: { TOKEN: "secret-1", DEADLINE: "10s" },
    hasObjects: true,
  });
  api = `${server.url}_turnpike/v1`;
});
afterAll(() => server.stop());

const storeAs = (prefix: string) => new TurnpikeStore(api, "secret-1", prefix);
const newStore = () => storeAs(crypto.randomUUID());

/** A server and what asks it for a path. */
type Get = (path?: string) => Promise<Response>;

interface Options {
  limit: number;
  windowMs?: number;
  store?: TurnpikeStore;
  key?: string;
  skipFailedRequests?: boolean;
}

async function listen(listener: RequestListener): Promise<Get> {
  const http = createServer(listener).listen(0, "127.0.0.1");
  await once(http, "listening");
  onTestFinished(() => void http.close());
  const { port } = http.address() as AddressInfo;
  return (path = "/") => fetch(`http://127.0.0.1:${port}${path}`);
}

const PEERS = {
  "express-rate-limit": ({ limit, windowMs = LONG_MS, store = newStore(), key, ...rest }) => {
    const app = express();
    const keyGenerator = key === undefined ? {} : { keyGenerator: () => key };
    const options = { limit, windowMs, store, legacyHeaders: false, ...keyGenerator, ...rest };
    app.use("/", rateLimit({ standardHeaders: "draft-6", ...options }));
    app.all("/fail", (_, response) => void response.writeHead(500).end());
    app.all("/", (_, response) => void response.end("passed"));
    return listen(app);
  },
  "hono-rate-limiter": async ({ key = "a client", limit, windowMs = LONG_MS, ...rest }) => {
    const app = new Hono();
    const { store = newStore(), ...others } = rest;
    const options = { limit, windowMs, store, keyGenerator: () => key, ...others };
    app.use(rateLimiter({ standardHeaders: "draft-6", ...options }));
    app.get("/fail", (c) => c.text("failed", 500));
    app.get("/", (c) => c.text("passed"));
    return async (path = "/") => app.request(path);
  },
} satisfies Record<string, (options: Options) => Promise<Get>>;

it("the README of the gateway shows an Express app that counts here", async () => {
  const readme = readFileSync(
    join(import.meta.dirname, "../../src/http/gateway/README.md"),
    "utf8",
  );
  const code = /^```js\nimport .* from "turnpike\/store";\n(.*?)^```$/ms.exec(readme)?.[1] ?? "";
  expect(code).toContain("https://limit.example.com/_turnpike/v1");
  const app = express();
  const names = { TurnpikeStore, rateLimit, app, process: { env: { TURNPIKE_TOKEN: "secret-1" } } };
  const here = code.replace("https://limit.example.com/_turnpike/v1", api);
  new Function(...Object.keys(names), here)(...Object.values(names));
  app.all("/", (_, response) => void response.end("passed"));
  const get = await listen(app);
  expect((await get()).headers.get("x-ratelimit-remaining")).toBe("99");
  expect((await get()).headers.get("x-ratelimit-remaining")).toBe("98");
});

describe.each(Object.entries(PEERS))("%s over Turnpike", (_, peer) => {
  it("lets exactly the limit of 50 parallel requests pass, and counts all", async () => {
    const store = newStore();
    const get = await peer({ limit: 20, store, key: "ada" });
    const statuses = await Promise.all(
      Array.from({ length: 50 }, async () => (await get()).status),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.filter((status) => status === 429)).toHaveLength(30);
    expect(await store.get("ada")).toMatchObject({ totalHits: 50 });
  });

  it("writes its headers, in a window that begins with the first request", async () => {
    const get = await peer({ limit: 2 });
    const { headers } = await get();
    expect(headers.get("ratelimit-limit")).toBe("2");
    expect(headers.get("ratelimit-remaining")).toBe("1");
    expect(headers.get("ratelimit-policy")).toBe("2;w=3600");
    expect(Number(headers.get("ratelimit-reset"))).toBeGreaterThan(3_400);
    await get();
    const denied = await get();
    expect(denied.status).toBe(429);
    expect(Number(denied.headers.get("retry-after"))).toBeGreaterThan(3_400);
  });

  it("lets a client in again once the window is over", async () => {
    const get = await peer({ limit: 1, windowMs: SHORT_MS });
    await get();
    await expect.poll(async () => (await get()).status, { timeout: 60_000 }).toBe(200);
  });

  it("counts with every process that has its prefix, and with no other", async () => {
    const prefix = crypto.randomUUID();
    const [one, other, apart] = await Promise.all(
      [storeAs(prefix), storeAs(prefix), newStore()].map((store) =>
        peer({ limit: 1, store, key: "ada" }),
      ),
    );
    expect((await one?.())?.status).toBe(200);
    expect((await other?.())?.status).toBe(429);
    expect((await apart?.())?.status).toBe(200);
  });

  it("takes back what failed requests cost", async () => {
    const store = newStore();
    const get = await peer({ limit: 1, store, key: "ada", skipFailedRequests: true });
    expect((await get("/fail")).status).toBe(500);
    await expect.poll(() => store.get("ada")).toBeUndefined();
    expect((await get()).status).toBe(200);
    expect((await get()).status).toBe(429);
  });

  it("forgets a key", async () => {
    const store = newStore();
    const get = await peer({ limit: 1, store, key: "ada" });
    await get();
    await store.resetKey("ada");
    expect((await get()).status).toBe(200);
  });

  it.each(["", "k".repeat(16_000), "Zoë ☃ 🧂", "a/b?c#d"])("takes any key: %#", async (key) => {
    const get = await peer({ limit: 1, key });
    expect((await get()).status).toBe(200);
    expect((await get()).status).toBe(429);
  });

  it("lets nothing pass with a limit of 0", async () => {
    expect((await (await peer({ limit: 0 }))()).status).toBe(429);
  });
});

it("fails with what the API says", async () => {
  const store = new TurnpikeStore(api, "wrong", "a prefix");
  await expect(store.increment("ada")).rejects.toThrow(`401 at ${api}/check: {`);
  const short = newStore();
  short.init({ windowMs: 50 });
  await expect(short.increment("ada")).rejects.toThrow("window must be a duration from 1s to 366d");
});

it("counts with a slash behind the API's address, and fails at another server's", async () => {
  const slashed = new TurnpikeStore(`${api}/`, "secret-1", crypto.randomUUID());
  expect(await slashed.increment("ada")).toMatchObject({ totalHits: 1 });
  const server = createServer((_, response) => void response.end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const other = new TurnpikeStore(url, "secret-1", "a");
  await expect(other.increment("ada")).rejects.toThrow(`${url}/check is no call of Turnpike's API`);
});

it.each([
  [undefined, "secret-1", "a", "api must be a URL, got undefined"],
  ["https://limit.example.com/_turnpike/v1", undefined, "a", "token must not be empty"],
  ["https://limit.example.com/_turnpike/v1", "secret-1", "", "prefix must not be empty"],
])(
  "names what it lacks, as where an app's variables are not set: %#",
  (url, token, prefix, why) => {
    expect(() => new TurnpikeStore(url as string, token as string, prefix)).toThrow(why);
  },
);

it("lets an app choose what happens while Turnpike is silent", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  onTestFinished(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const store = new TurnpikeStore(url, "secret-1", "a");
  await expect(store.increment("ada")).rejects.toThrow(`does not answer at ${url}/check: Timeout`);
  const app = express();
  app.use("/", rateLimit({ store, passOnStoreError: true, validate: false }));
  app.all("/", (_, response) => void response.end("passed"));
  expect((await (await listen(app))()).status).toBe(200);
});

describe("@fastify/rate-limit over Turnpike", () => {
  it("counts each route's limit apart, and bans who tries on", async () => {
    const app = fastify();
    const store = fastifyStore(api, "secret-1", crypto.randomUUID());
    await app.register(fastifyRateLimit, { max: 2, timeWindow: LONG_MS, ban: 1, store });
    app.get("/", async () => "passed");
    app.get("/own", { config: { rateLimit: { max: 1, timeWindow: LONG_MS } } }, async () => "own");
    const status = async (url: string) => (await app.inject({ url })).statusCode;
    for (const expected of [200, 200, 429, 403]) expect(await status("/")).toBe(expected);
    expect(await status("/own")).toBe(200);
    const { headers } = await app.inject({ url: "/own" });
    expect(headers).toMatchObject({ "x-ratelimit-limit": "1", "x-ratelimit-remaining": "0" });
    expect(Number(headers["retry-after"])).toBeGreaterThan(3_400);
  });
});

describe("rate-limiter-flexible over Turnpike", () => {
  const flexible = (points: number, store = newStore()) =>
    new FlexibleStore({ store, points, duration: 3_600 });

  it("consumes, fines, rewards, and forgets", async () => {
    const limiter = flexible(5);
    expect(await limiter.get("ada")).toBeNull();
    expect(await limiter.consume("ada", 2)).toMatchObject({
      consumedPoints: 2,
      remainingPoints: 3,
      isFirstInDuration: true,
    });
    expect(await limiter.penalty("ada", 3)).toMatchObject({ remainingPoints: 0 });
    await expect(limiter.consume("ada")).rejects.toMatchObject({ consumedPoints: 6 });
    expect(await limiter.reward("ada", 4)).toMatchObject({ consumedPoints: 2 });
    expect(await limiter.delete("ada")).toBe(true);
    expect(await limiter.delete("ada")).toBe(false);
  });

  it("is a limiter of its union", async () => {
    const store = newStore();
    const union = new RateLimiterUnion(flexible(1, store), flexible(2));
    await union.consume("ada");
    await expect(union.consume("ada")).rejects.toMatchObject({
      [store.prefix]: { consumedPoints: 2 },
    });
  });
});
