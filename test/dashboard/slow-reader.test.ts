/** Clients that open the stream of the live page, and read it slowly or not at all. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

/** What one moment of the page takes in `stream-worker.ts`. */
const MOMENT_BYTES = 2_000_000;
const CLIENTS = 12;
const PATIENCE_MS = 120_000;

let server: WorkerdServer;
const sockets: Socket[] = [];

beforeAll(async () => {
  const script = await bundleFile("test/dashboard/stream-worker.ts");
  server = await startWorkerd({ script, vars: {}, hasObjects: false });
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server?.stop();
});

/** Asks for the stream, and reads nothing of it. */
async function open(): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  await once(socket, "connect");
  socket.pause();
  socket.write(`GET /live HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  return socket;
}

async function reads(): Promise<number> {
  return (await fetch(new URL("/reads", server.url))).json() as Promise<number>;
}

/** Waits until nothing is read for the page any more. Returns how often something was. */
async function untilQuiet(): Promise<number> {
  for (;;) {
    const before = await reads();
    await sleep(4_000);
    if ((await reads()) === before) return before;
  }
}

describe("clients that read nothing of the live page's stream", { timeout: PATIENCE_MS }, () => {
  it("have nothing read for them, in bounded memory, and go on when they read", async () => {
    const opened = await Promise.all(Array.from({ length: CLIENTS }, open));
    const most = await untilQuiet();
    expect(most).toBeGreaterThan(1);
    const held = server.residentBytes() ?? 0;
    await sleep(4_000);
    expect(await reads()).toBe(most);
    expect((server.residentBytes() ?? 0) - held).toBeLessThan(CLIENTS * MOMENT_BYTES);

    const [slow] = opened as [Socket];
    let bytes = 0;
    slow.on("data", (chunk) => {
      bytes += chunk.length;
    });
    slow.resume();
    // More than what was on its way: new moments.
    const moments = () => Math.floor(bytes / MOMENT_BYTES);
    await expect.poll(moments, { timeout: PATIENCE_MS }).toBeGreaterThan(most + 3);
  });
});
