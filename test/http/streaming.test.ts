/**
 * Bodies go through the gate as they come, in constant memory: a reader that does not read
 * holds back the writer. GATE_MB=1024 sends a gigabyte each way.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const MB = 1 << 20;
const TOTAL = Number(process.env.GATE_MB ?? 256) * MB;
/**
 * More than the sockets of two connections, the runtime and Node hold when a body does not move.
 */
const MAX_HELD = 128 * MB;
/** More than the runtime takes with an empty heap and a body that waits. */
const MAX_RESIDENT = 200 * MB;
const STALL_MS = 500;
const PIECE = Buffer.alloc(MB / 16, "turnpike");

let origin: Server;
let gate: WorkerdServer;
let sent = 0;
let received = 0;
let resume = Promise.withResolvers<void>();

beforeAll(async () => {
  origin = createServer(async (incoming, outgoing) => {
    if (incoming.method === "GET") {
      for (sent = 0; sent < TOTAL; sent += PIECE.length) {
        if (!outgoing.write(PIECE)) await once(outgoing, "drain");
      }
      outgoing.end();
    } else {
      await resume.promise;
      received = 0;
      for await (const piece of incoming) received += piece.length;
      outgoing.end(String(received));
    }
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  gate = await startGate({
    ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
    POLICIES: JSON.stringify([
      { limit: 10, window: "1m" },
      { name: "slots", path: "/slots", limit: 10, window: "1m", algorithm: "concurrency" },
      { name: "bytes", path: "/bytes", limit: 1e9, window: "1m", actual: "bytes" },
    ]),
  });
});

afterAll(async () => {
  await gate.stop();
  origin.closeAllConnections();
  origin.close();
});

describe("the gate", () => {
  it.each([
    ["", ""],
    [", in flight under a policy", "slots"],
    [", counted in bytes", "bytes"],
  ])("holds an origin back whose client does not read%s, and loses nothing", async (_, path) => {
    const outgoing = request(gate.url + path, { agent: false }).end();
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    await sleep(STALL_MS);
    expect(sent).toBeLessThan(MAX_HELD);
    expect(gate.residentBytes() ?? 0).toBeLessThan(MAX_RESIDENT);
    let total = 0;
    for await (const piece of incoming) total += piece.length;
    expect(total).toBe(TOTAL);
  });

  it("holds a client back whose origin does not read, and loses nothing", async () => {
    resume = Promise.withResolvers();
    const outgoing = request(gate.url, { agent: false, method: "POST" });
    let written = 0;
    const answered = once(outgoing, "response");
    const writing = (async () => {
      for (; written < TOTAL; written += PIECE.length) {
        if (!outgoing.write(PIECE)) await once(outgoing, "drain");
      }
      outgoing.end();
    })();
    await sleep(STALL_MS);
    expect(written).toBeLessThan(MAX_HELD);
    expect(gate.residentBytes() ?? 0).toBeLessThan(MAX_RESIDENT);
    resume.resolve();
    await writing;
    const [incoming] = (await answered) as [IncomingMessage];
    let answer = "";
    for await (const piece of incoming) answer += piece;
    expect(answer).toBe(String(TOTAL));
  });
});
