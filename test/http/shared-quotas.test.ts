/**
 * Floods of requests that are denied, on a workerd with nothing in front: what they take from
 * others who share a quota with their client, and what they cost the owners.
 */
import { once } from "node:events";
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

const CONNECTIONS = 50;
const OTHERS = 20;
const SITE = 60;
/** Many more than the owners may be asked for. */
const FLOOD = 600;
const DAY = { window: "1d" } as const;

let origin: Server;
let worker: WorkerdServer | undefined;
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

beforeAll(async () => {
  // A login form that knows one password.
  origin = createServer((incoming, outgoing) => {
    outgoing.writeHead(incoming.headers["x-password"] === "right" ? 200 : 401).end("answer");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
});

afterEach(async () => {
  await worker?.stop();
  worker = undefined;
});

afterAll(() => {
  agent.destroy();
  origin.closeAllConnections();
  origin.close();
});

async function start(...policies: object[]): Promise<void> {
  const { port } = origin.address() as AddressInfo;
  worker = await startWorkerd({
    script: await bundleFile("test/http/counting-worker.ts"),
    vars: {
      DEADLINE: "10s",
      ORIGIN: `http://127.0.0.1:${port}`,
      POLICIES: JSON.stringify(policies),
    },
    hasObjects: true,
  });
}

interface Answer {
  status: number;
  /** What the field `RateLimit` says is left under each policy. */
  left: Record<string, number>;
}

function ask(ip: string, path = "/", password = "wrong"): Promise<Answer> {
  const headers = { "CF-Connecting-IP": ip, "X-Password": password, Host: "site.example" };
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const asking = request(new URL(path, worker?.url).href, { agent, headers }, (incoming) => {
    const fields = String(incoming.headers.ratelimit ?? "").matchAll(/"(\w+)";r=(\d+)/g);
    const left = Object.fromEntries(Array.from(fields, ([, name, r]) => [name, Number(r)]));
    incoming.resume().on("end", () => resolve({ status: incoming.statusCode ?? 0, left }));
  });
  asking.on("error", reject).end();
  return promise;
}

/** Sends requests on each connection, one after the other, until it is told to stop. */
function flood(connections: number, send: (n: number) => Promise<unknown>) {
  let sent = 0;
  let isOver = false;
  const sending = Array.from({ length: connections }, async () => {
    while (!isOver) await send(sent++);
  });
  return async () => {
    isOver = true;
    await Promise.all(sending);
    return sent;
  };
}

async function denialsByOwners(): Promise<number> {
  return (await fetch(new URL("/denials-by-owners", worker?.url))).json() as Promise<number>;
}

describe("a client that is over its own limit", () => {
  const OWN = [
    ["all charged", { charge: "always" }],
    ["failures charged", { charge: "failure" }],
  ] as const;

  it.each(OWN)("leaves others what they share, with %s", async (_, own) => {
    const site = { name: "site", key: ["host"], limit: SITE, ...DAY };
    await start(site, { name: "login", limit: 1, ...DAY, ...own });
    const stop = flood(CONNECTIONS, () => ask("192.0.2.1"));
    let leastLeft = SITE;
    for (let n = 1; n <= OTHERS; n++) {
      const { status, left } = await ask(`198.51.100.${n}`);
      expect(status).toBe(401);
      leastLeft = Math.min(leastLeft, (left.site ?? 0) + n);
    }
    expect(await stop()).toBeGreaterThan(CONNECTIONS);
    // The flood has taken one unit, and at any moment holds two that it gives back.
    expect(leastLeft).toBeGreaterThanOrEqual(SITE - 3);
    expect((await ask("203.0.113.1")).left.site).toBe(SITE - 1 - OTHERS - 1);
  });

  it("leaves others what they share while it holds its own slot", async () => {
    const site = { name: "site", key: ["host"], limit: SITE, ...DAY };
    const slot = { name: "slot", limit: 1, window: "10m", algorithm: "concurrency" };
    await start(site, slot, { name: "login", limit: 1, ...DAY, charge: "failure" });
    const stop = flood(CONNECTIONS, () => ask("192.0.2.1"));
    for (let n = 1; n <= OTHERS; n++) expect((await ask(`198.51.100.${n}`)).status).toBe(401);
    await stop();
    expect((await ask("203.0.113.1")).left.site).toBe(SITE - 1 - OTHERS - 1);
  });
});

describe("a flood of denied requests", () => {
  /** An owner is asked again once a second, or every five. So a slow machine may ask more. */
  const mostAsked = (startedMs: number) => 20 + (2 * (Date.now() - startedMs)) / 1_000;

  async function flooded(send: (n: number) => Promise<Answer>) {
    const before = await denialsByOwners();
    const startedMs = Date.now();
    let sent = 0;
    const sending = Array.from({ length: 20 }, async () => {
      while (sent++ < FLOOD) expect((await send(sent)).status).toBe(429);
    });
    await Promise.all(sending);
    expect((await denialsByOwners()) - before).toBeLessThanOrEqual(mostAsked(startedMs));
  }

  it("costs owners next to nothing, under policies in turn", async () => {
    await start(
      { name: "a", path: "/a", limit: 1, ...DAY },
      { name: "b", path: "/b", limit: 1, ...DAY },
    );
    for (const path of ["/a", "/b"]) expect((await ask("192.0.2.1", path)).status).toBe(401);
    await flooded((n) => ask("192.0.2.1", n % 2 ? "/a" : "/b"));
  });

  it("costs owners next to nothing if the response decides on the charge", async () => {
    await start({ name: "login", limit: 1, ...DAY, charge: "failure" });
    expect((await ask("192.0.2.1")).status).toBe(401);
    await flooded(() => ask("192.0.2.1"));
  });

  it("costs owners no more while others give back all the time", async () => {
    await start({ name: "login", limit: 5, ...DAY, charge: "failure" });
    for (let n = 0; n < 5; n++) expect((await ask("192.0.2.1")).status).toBe(401);
    const statuses = new Set<number>();
    const stop = flood(4, async (n) => {
      statuses.add((await ask(`198.51.100.${n % 50}`, "/", "right")).status);
    });
    try {
      await flooded(() => ask("192.0.2.1"));
    } finally {
      expect(await stop()).toBeGreaterThan(FLOOD / 20);
    }
    expect([...statuses]).toEqual([200]);
  });
});
