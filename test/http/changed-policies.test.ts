/**
 * What becomes of counts, and of all that is under way, when live policies are renamed, removed,
 * added, or given another window or algorithm: the deployed Worker, in a workerd with nothing in
 * front.
 */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "./gate-server.ts";

interface Written {
  name: string;
  limit: number;
  window?: string;
  algorithm?: string;
  [field: string]: unknown;
}

let server: WorkerdServer;
let origin: Server;
/** Answers of the origin that it has yet to end, oldest first. */
const slow: ServerResponse[] = [];

beforeAll(async () => {
  origin = createServer((request, response) => {
    if (request.url === "/slow") slow.push(response);
    else response.end("ok");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const ORIGIN = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  server = await startGate({ ORIGIN, TOKEN: "t", DEADLINE: "10s" }, ALL_OBJECTS);
});

afterAll(async () => {
  await server.stop();
  origin.closeAllConnections();
  origin.close();
});

/** Calls the API. */
async function call(method: string, path: string, body: object) {
  const response = await fetch(`${server.url}_turnpike/v1${path}`, {
    method,
    headers: { Authorization: "Bearer t", "If-Match": "*" },
    body: JSON.stringify(body),
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

/** Puts policies in force. The isolate that does so follows at once, and there is no other here. */
async function put(...policies: Written[]): Promise<void> {
  const { status, json } = await call("PUT", "/policies", { policies });
  expect([status, json.detail]).toEqual([200, undefined]);
}

let clients = 0;
const newClient = () => `2001:db8:${(++clients).toString(16)}::1`;

/** Sends a request. Returns what its policies are, by name, and what each has left. */
async function visit(client: string, path = "") {
  const response = await fetch(server.url + path, { headers: { "CF-Connecting-IP": client } });
  await response.arrayBuffer();
  return {
    status: response.status,
    limits: items(response.headers.get("RateLimit-Policy"), "q"),
    left: items(response.headers.get("RateLimit"), "r"),
  };
}

/** Reads a parameter of each item in a list such as `"site";q=5;w=60, "day";q=9;w=86400`. */
function items(field: string | null, parameter: string): Record<string, number> {
  const found = [...(field ?? "").matchAll(/"([^"]+)";([^,]*)/g)];
  return Object.fromEntries(
    found.map(([, name, parameters]) => [
      name,
      Number(new RegExp(`\\b${parameter}=(\\d+)`).exec(parameters as string)?.[1]),
    ]),
  );
}

/** Sends requests of one client in parallel. */
const burst = (client: string, requests: number) =>
  Promise.all(Array.from({ length: requests }, () => visit(client)));
const statuses = (visits: { status: number }[]) => visits.map(({ status }) => status).sort();

describe("under load", () => {
  const YEAR = "366d";
  const MANY = 50_000;
  /** The limit tells which version decided. */
  const busy = (n: number, more: object = {}): Written => ({
    ...{ name: "busy", limit: MANY + n, window: YEAR },
    ...more,
  });
  const beside = (name: string, n: number): Written => ({
    ...{ name, limit: 2 * MANY + n, window: YEAR, key: ["host"] },
  });
  const VERSIONS: ((n: number) => Written[])[] = [
    (n) => [busy(n), beside("other", n)],
    // The second policy is renamed, removed, and put again.
    (n) => [busy(n), beside("another", n)],
    (n) => [busy(n)],
    (n) => [beside("another", n), busy(n)],
    // The first policy has another window, and then the previous one again.
    (n) => [busy(n, { window: "300d" })],
    (n) => [busy(n), beside("other", n)],
    // The first policy has another algorithm.
    (n) => [busy(n, { algorithm: "sliding-window" }), beside("other", n)],
    (n) => [busy(n, { algorithm: "token-bucket" }), beside("another", n)],
    (n) => [busy(n, { algorithm: "sliding-log", limit: 9_000 + n })],
    (n) => [busy(n, { algorithm: "concurrency", limit: 9_000 + n, window: "1m" })],
    // The first policy has another mode, and leases.
    (n) => [busy(n, { mode: "after" })],
    (n) => [busy(n, { mode: "alongside" }), beside("other", n)],
    (n) => [busy(n, { name: "leased", lease: 0.001 })],
    (n) => [busy(n)],
  ];
  const policiesOf = (n: number) => (VERSIONS[n] as (n: number) => Written[])(n);
  const limitsOf = (n: number) =>
    Object.fromEntries(policiesOf(n).map(({ name, limit }) => [name, limit]));
  const versionOf = (limits: object) =>
    VERSIONS.findIndex((_, n) => JSON.stringify(limitsOf(n)) === JSON.stringify(limits));
  /** Policies with the same place share their counts. */
  const placeOf = ({ name, window, algorithm }: Written) => [algorithm, window, name].join();

  it("each request is decided under one version, and counts go on where they can", async () => {
    const client = newClient();
    const counted = new Map<string, number>();
    const seen = new Set<number>();
    const wrong: object[] = [];
    let begun = 0;
    let isOver = false;
    const visitOnce = async (latest: number) => {
      const visited = await visit(client);
      const n = versionOf(visited.limits);
      if (visited.status !== 200 || n < latest || n > begun) wrong.push({ ...visited, latest });
      if (n < 0) return latest;
      seen.add(n);
      for (const policy of policiesOf(n)) {
        counted.set(placeOf(policy), (counted.get(placeOf(policy)) ?? 0) + 1);
      }
      return n;
    };
    await put(...policiesOf(0));
    const load = Array.from({ length: 8 }, async () => {
      for (let latest = 0; !isOver; ) latest = await visitOnce(latest);
    });
    try {
      for (const [n] of VERSIONS.entries()) {
        begun = n;
        if (n > 0) await put(...policiesOf(n));
        await expect.poll(() => seen.has(n), { interval: 5, timeout: 60_000 }).toBe(true);
      }
    } finally {
      isOver = true;
      await Promise.all(load);
    }
    expect(wrong).toEqual([]);
    // Polls, since mode `after` counts later.
    const [last] = policiesOf(VERSIONS.length - 1) as [Written];
    const left = async () =>
      (await call("POST", "/peek", { ip: client, policy: last.name })).json.remaining;
    const expectedLeft = last.limit - (counted.get(placeOf(last)) as number);
    await expect.poll(left, { interval: 20, timeout: 60_000 }).toBe(expectedLeft);
    for (const [n] of VERSIONS.entries()) {
      // Under mode `after`, the isolate answers by what it last heard under this version.
      if (policiesOf(n)[0]?.mode === "after") continue;
      await put(...policiesOf(n));
      const { limits, left } = await visit(client);
      expect(limits).toEqual(limitsOf(n));
      for (const policy of policiesOf(n)) {
        const { name, limit, algorithm } = policy;
        const place = placeOf(policy);
        const count = (counted.get(place) ?? 0) + 1;
        counted.set(place, count);
        const spent = limit - (left[name] as number);
        const expected = algorithm === "concurrency" ? 1 : count;
        // The unused rest of a lease is lost.
        if (policy.lease) expect(spent).toBeGreaterThanOrEqual(expected);
        else expect(`${spent} of ${place} in ${n}`).toBe(`${expected} of ${place} in ${n}`);
      }
    }
  });
});

describe("when a policy is removed and put again", () => {
  const OTHER: Written = { name: "other", limit: 1_000_000, window: "1d" };

  it("a lease pays for no more than its limit", async () => {
    const leased: Written = { name: "leases", limit: 40, window: "366d", lease: 0.25 };
    const client = newClient();
    await put(leased);
    const first = await burst(client, 10);
    await put(OTHER);
    expect(statuses(await burst(client, 50))).toEqual(Array(50).fill(200));
    await put(leased);
    const later = await burst(client, 60);
    const passed = statuses([...first, ...later]).filter((status) => status === 200).length;
    expect(passed).toBeGreaterThan(10);
    expect(passed).toBeLessThanOrEqual(40);
  });

  it("a denial is remembered for the policy alone", async () => {
    const once: Written = { name: "once", limit: 1, window: "366d" };
    const client = newClient();
    await put(once);
    expect(statuses(await burst(client, 3))).toEqual([200, 429, 429]);
    await put(OTHER);
    expect((await visit(client)).status).toBe(200);
    await put({ ...once, name: "renamed" });
    expect(statuses(await burst(client, 3))).toEqual([200, 429, 429]);
    await put({ ...once, window: "365d" });
    expect(statuses(await burst(client, 3))).toEqual([200, 429, 429]);
    await put({ ...once, algorithm: "sliding-window" });
    expect(statuses(await burst(client, 3))).toEqual([200, 429, 429]);
    await put(once);
    expect((await visit(client)).status).toBe(429);
  });

  it("checks that are counted later are counted", async () => {
    const later: Written = { name: "later", limit: 1_000, window: "366d", mode: "after" };
    const client = newClient();
    await put(later);
    await burst(client, 30);
    // Long before the batch is due.
    await put(OTHER);
    await visit(client);
    const body = { ip: client, policy: "later" };
    await put({ ...later, mode: "before" });
    const remaining = async () => (await call("POST", "/peek", body)).json.remaining;
    await expect.poll(remaining, { interval: 20, timeout: 60_000 }).toBe(970);
  });

  it("a slot is taken until its request has ended, and then free", async () => {
    const slots: Written = { name: "slots", limit: 1, window: "1m", algorithm: "concurrency" };
    const client = newClient();
    await put(slots);
    const held = visit(client, "slow");
    await expect.poll(() => slow.length, { interval: 5, timeout: 60_000 }).toBe(1);
    expect((await visit(client)).status).toBe(429);
    await put(OTHER);
    expect((await visit(client)).status).toBe(200);
    await put(slots);
    expect((await visit(client)).status).toBe(429);
    await put(OTHER);
    slow.shift()?.end();
    expect(await held).toMatchObject({ status: 200, limits: { slots: 1 } });
    await put(slots);
    const status = async () => (await visit(client)).status;
    await expect.poll(status, { interval: 20, timeout: 60_000 }).toBe(200);
  });

  it("a request that waits for its turn gets it, and no later one waits", async () => {
    const turns: Written = { name: "turns", limit: 1, window: "4s", algorithm: "token-bucket" };
    const client = newClient();
    await put({ ...turns, burst: 1, maxWait: "30s" });
    expect((await visit(client)).status).toBe(200);
    const waiting = visit(client);
    const isWaiting = async () =>
      (await call("POST", "/peek", { ip: client, policy: "turns" })).json;
    await expect.poll(isWaiting).toMatchObject({ allowed: false });
    await put(OTHER);
    expect(await visit(client)).toMatchObject({ status: 200, limits: { other: 1_000_000 } });
    expect(await waiting).toMatchObject({ status: 200, limits: { turns: 1 } });
  });

  it("a reservation ends by its time, and can be settled once the policy is back", async () => {
    const tokens: Written = { name: "tokens", limit: 1_000, window: "366d", key: ["header:X-Key"] };
    const key = crypto.randomUUID();
    const hold = async (ttl: string) => {
      const body = { key, policy: "tokens", amount: 300, ttl };
      return (await call("POST", "/reserve", body)).json.hold;
    };
    const remaining = async () =>
      (await call("POST", "/peek", { key, policy: "tokens" })).json.remaining;
    await put(tokens);
    const [kept] = [await hold("1h"), await hold("1s")];
    expect(await remaining()).toBe(400);
    await put(OTHER);
    const settlement = { key, policy: "tokens", hold: kept, amount: 50 };
    expect(await call("POST", "/settle", settlement)).toMatchObject({ status: 400 });
    await put({ ...tokens, window: "365d" });
    expect(await remaining()).toBe(1_000);
    await put(tokens);
    await expect.poll(remaining, { interval: 100, timeout: 60_000 }).toBe(700);
    expect((await call("POST", "/settle", settlement)).json).toMatchObject({ was: "live" });
    expect(await remaining()).toBe(950);
  });
});
