import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { type Decided, RingClient, VARS } from "./ring-client.ts";

const CHECKS_PER_SECOND = 1_500;
const BATCH = 150;

let server: WorkerdServer;

afterEach(async () => {
  await server.stop();
});

it("adds owners under load until each has less than it should, without an error", async () => {
  server = await startGate({ ...VARS, OWNERS: "2", OWNERS_MAX: "6" }, ALL_OBJECTS);
  const client = new RingClient(server, { limit: 1_000_000, window: "366d" });
  const keys = Array.from({ length: BATCH }, (_, n) => `key-${n}`);
  const asked: Promise<Decided[]>[] = [];
  const intervalMs = (1_000 * BATCH) / CHECKS_PER_SECOND;
  let owners = 2;
  for (let ms = 0; ms < 30_000 && owners < 4; ms += intervalMs) {
    asked.push(client.check(keys));
    if (asked.length % 10 === 0) ({ length: owners } = (await client.ring()).owners);
    await sleep(intervalMs);
  }
  expect(owners).toBeGreaterThanOrEqual(4);
  await client.settled();
  const decided = (await Promise.all(asked)).flat();
  expect(decided.every(({ allowed, exact }) => allowed && exact)).toBe(true);
});
