/** WebSockets through the gate, under a policy that counts them while they are open. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [
  { name: "counted", path: "/counted", limit: 1_000_000, window: "1d" },
  { name: "slots", path: "/slots", limit: 2, window: "1h", algorithm: "concurrency" },
  { name: "halfway", path: "/halfway", limit: 2, window: "1h", algorithm: "concurrency" },
];

let origin: WebSocketServer;
let gate: WorkerdServer;
/** What the origin was told of the last socket that closed. */
let closed: [code: number, reason: string] | undefined;

beforeAll(async () => {
  origin = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: () => "second",
  });
  origin.on("connection", (socket) => {
    socket.send("welcome");
    socket.on("message", (data, isBinary) => {
      if (isBinary || String(data).startsWith("echo")) socket.send(data, { binary: isBinary });
      else if (String(data) === "close") socket.close(4_001, "bye");
      else if (String(data) === "end") socket.close();
      else socket.terminate();
    });
    socket.on("close", (code, reason) => {
      closed = [code, String(reason)];
    });
  });
  await once(origin, "listening");
  gate = await startGate({
    ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
    POLICIES: JSON.stringify(POLICIES),
  });
});

afterAll(async () => {
  await gate.stop();
  for (const socket of origin.clients) socket.terminate();
  origin.close();
});

async function open(path: string): Promise<{ socket: WebSocket; next: () => Promise<RawData> }> {
  const socket = new WebSocket(`${gate.url.replace("http", "ws")}${path}`, ["first", "second"]);
  const messages: RawData[] = [];
  socket.on("message", (data) => messages.push(data));
  await once(socket, "open");
  closed = undefined;
  const next = async () => {
    while (messages.length === 0) await once(socket, "message");
    return messages.shift() as RawData;
  };
  return { socket, next };
}

/** Returns what both ends are told when the client parts as `part` does. */
async function endOf(path: string, part: (socket: WebSocket) => void) {
  const { socket, next } = await open(path);
  await next();
  const end = once(socket, "close");
  part(socket);
  const [code, reason] = (await end) as [number, Buffer];
  await expect.poll(() => closed).toBeDefined();
  return { client: [code, String(reason)], origin: closed };
}

describe.each(["counted", "slots"])("a WebSocket under the policy %s", (path) => {
  it("has the origin's subprotocol and compression, and its first message", async () => {
    const { socket, next } = await open(path);
    expect(socket.protocol).toBe("second");
    expect(socket.extensions).toContain("permessage-deflate");
    expect(String(await next())).toBe("welcome");
    socket.terminate();
  });

  it("passes text and bytes as they are, in order", async () => {
    const { socket, next } = await open(path);
    await next();
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, n) => (n * 7_919) % 251));
    socket.send("echo é\0");
    socket.send(bytes);
    socket.send(Buffer.alloc(0));
    socket.send("echo last");
    expect(String(await next())).toBe("echo é\0");
    expect(bytes.equals((await next()) as Buffer)).toBe(true);
    expect((await next()) as Buffer).toHaveLength(0);
    expect(String(await next())).toBe("echo last");
    socket.terminate();
  });

  it("answers pings", async () => {
    const { socket } = await open(path);
    const pong = once(socket, "pong");
    socket.ping("here");
    expect(String((await pong)[0])).toBe("here");
    socket.terminate();
  });

  it("passes close codes and reasons both ways", async () => {
    expect(await endOf(path, (socket) => socket.close(4_002, "done"))).toEqual({
      client: [4_002, "done"],
      origin: [4_002, "done"],
    });
    expect(await endOf(path, (socket) => socket.send("close"))).toEqual({
      client: [4_001, "bye"],
      origin: [4_001, "bye"],
    });
    expect(await endOf(path, (socket) => socket.close())).toEqual({
      client: [1_005, ""],
      origin: [1_005, ""],
    });
    expect(await endOf(path, (socket) => socket.send("end"))).toEqual({
      client: [1_005, ""],
      origin: [1_005, ""],
    });
  });

  it("tells each end that the other is gone", async () => {
    const gone = path === "slots" ? 1_001 : 1_006;
    expect((await endOf(path, (socket) => socket.terminate())).origin?.[0]).toBe(gone);
    expect((await endOf(path, (socket) => socket.send("vanish"))).client[0]).toBe(gone);
  });
});

it("closes a socket if the client's handshake is not complete, and frees its slot", async () => {
  const before = origin.clients.size;
  const send = async () => {
    const sent = request(`${gate.url}halfway`, { headers: { Upgrade: "websocket" } }).end();
    const [incoming] = (await once(sent, "response")) as [IncomingMessage];
    incoming.resume();
    return incoming.statusCode;
  };
  expect([await send(), await send(), await send()]).toEqual([426, 426, 429]);
  await expect.poll(() => origin.clients.size, { timeout: 20_000 }).toBeLessThanOrEqual(before);
  await expect.poll(send, { timeout: 20_000 }).toBe(426);
});

it("counts sockets while they are open", async () => {
  await sleep(100);
  const first = await open("slots");
  const second = await open("slots");
  const third = new WebSocket(`${gate.url.replace("http", "ws")}slots`);
  const [error] = (await once(third, "error")) as [Error];
  expect(error.message).toBe("Unexpected server response: 429");
  first.socket.close();
  await expect
    .poll(async () => {
      const fourth = new WebSocket(`${gate.url.replace("http", "ws")}slots`);
      const opened = await Promise.race([
        once(fourth, "open").then(() => true),
        once(fourth, "error").then(() => false),
      ]);
      fourth.terminate();
      return opened;
    })
    .toBe(true);
  second.socket.terminate();
});
