/**
 * Under `alongside` the gate asks its origin ahead of the verdict, here a real one through a
 * socket. Nothing that the origin answers to a denied request leaves the gate, and its request
 * ends.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { bundleText } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

/** The deployed Worker, whose owners ask the origin when they may decide. */
const WORKER = `
  import { env } from "cloudflare:workers";
  import { RateLimiter as Limiter } from "./src/worker.ts";
  export * from "./src/worker.ts";
  export { default } from "./src/worker.ts";
  export class RateLimiter extends Limiter {
    async check(...given) {
      await (await fetch(env.ORIGIN + "/verdict")).text();
      return super.check(...given);
    }
  }`;
const CLIENTS = 10;
const MARK = "from-the-origin";
/** More than a busy machine takes to end a few requests. */
const SETTLED = { timeout: 60_000 };

let origin: Server;
let gate: WorkerdServer;
/** How many requests the origin has begun to answer, and how many are still open. */
let answered = 0;
let open = 0;
let clients = 0;
/** Owners answer once it resolves. */
let verdict = Promise.resolve();
let onAnswered = () => {};

beforeAll(async () => {
  origin = createServer(async ({ url }, outgoing) => {
    if (url === "/verdict") {
      await verdict;
      outgoing.end();
      return;
    }
    open++;
    outgoing.on("close", () => open--);
    if (url === "/whole") outgoing.setHeader("X-Origin", MARK).end(MARK);
    if (url === "/stream") outgoing.setHeader("X-Origin", MARK).write(MARK);
    answered++;
    onAnswered();
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  gate = await startWorkerd({
    script: await bundleText(WORKER, "."),
    vars: {
      ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
      POLICIES: JSON.stringify([{ name: "gate", limit: 1, window: "366d", mode: "alongside" }]),
      TOKEN: "secret",
      DEADLINE: "10s",
    },
    hasObjects: true,
  });
});

afterAll(async () => {
  await gate.stop();
  origin.closeAllConnections();
  origin.close();
});

/** Spends a client's quota by the API, so that handlers still run ahead of their verdict. */
async function spend(client: string): Promise<void> {
  verdict = Promise.resolve();
  const response = await fetch(`${gate.url}_turnpike/v1/check`, {
    method: "POST",
    headers: { Authorization: "Bearer secret" },
    body: JSON.stringify({ key: client, policy: "gate" }),
  });
  expect(await response.json()).toMatchObject({ allowed: true, remaining: 0 });
}

/** Returns every byte of the gate's answer. The verdict waits for the origin's answer. */
function ask(path: string, client: string): Promise<string> {
  verdict = new Promise((resolve) => {
    onAnswered = resolve;
  });
  const socket = connect(Number(new URL(gate.url).port), "127.0.0.1");
  const lines = [`GET ${path} HTTP/1.1`, "Host: site.example", `CF-Connecting-IP: ${client}`];
  socket.write([...lines, "Connection: close", "", ""].join("\r\n"));
  return text(socket);
}

it("lets an answer pass whole", async () => {
  const answer = await ask("/whole", "192.0.2.250");
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(answer).toContain(`X-Origin: ${MARK}`);
  expect(answer).toMatch(/RateLimit: "gate";r=0;/);
  expect(answer.endsWith(MARK)).toBe(true);
});

it.each(["/whole", "/stream", "/silent"])("sends no byte of a denied answer: %s", async (path) => {
  const before = answered;
  for (let n = 0; n < CLIENTS; n++) {
    const client = `198.51.100.${clients++}`;
    await spend(client);
    const answer = await ask(path, client);
    expect(answer).toMatch(/^HTTP\/1\.1 429 /);
    expect(answer.toLowerCase()).not.toContain(MARK);
    expect(answer.toLowerCase()).not.toContain("x-origin");
  }
  expect(answered - before).toBe(CLIENTS);
  await vi.waitFor(() => expect(open).toBe(0), SETTLED);
});
