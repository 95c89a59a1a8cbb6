/**
 * The deployed Worker in front of real origins: however a client spells `/login`, it reaches it no
 * more often than its policy allows.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { frameworks } from "../readers/frameworks.ts";
import { nginx } from "../readers/nginx.ts";
import type { Reader } from "../readers/reader.ts";
import { startGate } from "./gate-server.ts";

const LIMIT = 3;
const TRIES = 10;
const ORIGINS = /^(?:Express 4|Fastify 4|Node|nginx|nginx that writes paths anew.*)$/;

/** Each spelling once got past the policy to one of these origins, or to Tomcat or Jetty. */
const SPELLINGS = [
  "/login",
  "/a%5cb%2f..%2flogin",
  "/a%252fb%2f..%2flogin",
  "/a%ef%bc%8fb%2f..%2flogin",
  "/login;x%2fy",
  "/login;%2f..%2f..%2ffoo",
  "/login;/x",
  "//x/login",
  "/login%3b/x",
];

let readers: Reader[] = [];
const gates: { name: string; worker: WorkerdServer }[] = [];

beforeAll(async () => {
  const own = await frameworks();
  readers = [...own, ...(await nginx(own.filter(({ name }) => /^\w+ 4$/.test(name))))];
  for (const { name, port } of readers) {
    if (!ORIGINS.test(name)) continue;
    const policy = { name: "login", path: "/login", limit: LIMIT, window: "1d" };
    const vars = { ORIGIN: `http://127.0.0.1:${port}`, POLICIES: JSON.stringify([policy]) };
    gates.push({ name, worker: await startGate(vars) });
  }
});

afterAll(async () => {
  await Promise.all(gates.map(({ worker }) => worker.stop()));
  await Promise.all(readers.map((reader) => reader.close?.()));
});

it("reaches /login at most as often as its policy allows, however it is spelled", async () => {
  for (const { name, worker } of gates) {
    for (const [at, spelling] of SPELLINGS.entries()) {
      let reached = 0;
      for (let n = 0; n < TRIES; n++) {
        if (/^X-Route: \/login\r$/im.test(await send(worker, spelling, at))) reached++;
      }
      expect(reached, `${name}: ${spelling}`).toBeLessThanOrEqual(LIMIT);
      if (spelling === "/login") expect(reached, name).toBe(LIMIT);
    }
  }
});

/** Sends a target as it is, as a client of its own. */
async function send(worker: WorkerdServer, target: string, client: number): Promise<string> {
  const socket = connect(Number(new URL(worker.url).port), "127.0.0.1");
  await once(socket, "connect");
  const fields = ["Host: gate.example", `CF-Connecting-IP: 192.0.2.${client}`, "Connection: close"];
  socket.write(`HEAD ${target} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
  return text(socket);
}
