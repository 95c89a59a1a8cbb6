/**
 * Clients that leave the gate while its origin takes its time: their slots come back, and their
 * requests to the origin end.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const LIMIT = 1_000;
const CLIENT = "192.0.2.1";
/** More than a busy machine takes to settle a few requests. */
const SETTLED = { timeout: 60_000 };

/** What the origin writes before it falls silent, by path; nothing by default. */
const BEGINNINGS: Record<string, string> = {
  "/head": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
  "/part": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nplain",
  "/chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nplain\r\n",
  "/events":
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
  "/encoded": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 50\r\n\r\nplain",
  "/999": "HTTP/1.1 999 Denied\r\nContent-Length: 50\r\n\r\nplain",
};

let origin: Server;
let gate: WorkerdServer;
const open = new Set<Socket>();

beforeAll(async () => {
  origin = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", (data) => {
      const path = /^\S+ (\S+)/.exec(String(data))?.[1] ?? "";
      if (BEGINNINGS[path]) socket.write(BEGINNINGS[path]);
    });
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  gate = await startGate({
    ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
    POLICIES: JSON.stringify([
      { name: "slots", limit: LIMIT, window: "1h", algorithm: "concurrency" },
    ]),
    TOKEN: "secret",
  });
});

beforeEach(() => {
  for (const socket of open) socket.destroy();
});

afterAll(async () => {
  await gate.stop();
  for (const socket of open) socket.destroy();
  origin.close();
});

async function freeSlots(): Promise<number> {
  const response = await fetch(`${gate.url}_turnpike/v1/peek`, {
    method: "POST",
    headers: { Authorization: "Bearer secret" },
    body: JSON.stringify({ key: CLIENT, policy: "slots" }),
  });
  return ((await response.json()) as { remaining: number }).remaining;
}

async function send(path: string, method: string): Promise<Socket> {
  const socket = connect(Number(new URL(gate.url).port), "127.0.0.1").on("error", () => {});
  socket.resume();
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: gate.example\r\nCF-Connecting-IP: ${CLIENT}\r\n\r\n`,
  );
  await once(socket, "connect");
  return socket;
}

describe.each(["/nothing", ...Object.keys(BEGINNINGS)])("a client that leaves at %s", (path) => {
  it.each(["GET", "HEAD", "POST"])("gets its slots back: %s", async (method) => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => send(path, method)));
    // An answer without a body has ended with its head, and so has one with a status above 599.
    const isHeld = path === "/nothing" || (method !== "HEAD" && path !== "/999");
    if (isHeld) await expect.poll(freeSlots, SETTLED).toBe(LIMIT - sockets.length);
    await sleep(100);
    for (const socket of sockets) socket.resetAndDestroy();
    await expect.poll(freeSlots, SETTLED).toBe(LIMIT);
    await expect.poll(() => open.size, SETTLED).toBe(0);
  });
});

it("frees the slot of an origin that breaks off", async () => {
  for (const path of ["/nothing", ...Object.keys(BEGINNINGS)]) {
    await send(path, "GET");
    await expect.poll(() => open.size, SETTLED).toBeGreaterThan(0);
    await sleep(100);
    for (const socket of open) socket.destroy();
    await expect.poll(freeSlots, SETTLED).toBe(LIMIT);
  }
});
