import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { stateFolder } from "../dev-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { RingClient, VARS } from "./ring-client.ts";

const KEYS = Array.from({ length: 500 }, (_, n) => `key-${n}`);
const LIMIT = 10;
const POLICY = { limit: LIMIT, window: "366d" };
/** From the order to change the ring to the end of the process: before, in, and after each step. */
const KILLED_AFTER_MS = [0, 6, 15, 40];
/** After which all counts are on disk. */
const QUIET_MS = 3_000;

let server: WorkerdServer;

afterEach(async () => {
  await server.kill();
});

it("completes a change that kill -9 interrupts, and forgets nothing", async () => {
  using state = stateFolder();
  const start = async () => {
    const vars = { ...VARS, OWNERS: "2", HIGH_WATER: "0" };
    server = await startGate(vars, { ...ALL_OBJECTS, folder: state.path });
    return new RingClient(server, POLICY);
  };
  let client = await start();
  let version = (await client.ring()).version;
  for (const killedAfterMs of KILLED_AFTER_MS) {
    await client.check(KEYS);
    await sleep(QUIET_MS);
    // The answer may never come.
    const ordered = client.add().catch(() => {});
    await sleep(killedAfterMs);
    await server.kill();
    await ordered;
    client = await start();
    const ring = await client.settled();
    // Whether the order was heard at all is chance; if it was, it is carried out.
    expect([version, version + 1]).toContain(ring.version);
    expect(ring.owners).toHaveLength(1 + ring.version);
    ({ version } = ring);
  }
  const spent = KILLED_AFTER_MS.length;
  for (let n = spent; n < LIMIT; n++) {
    expect((await client.check(KEYS)).filter(({ allowed }) => !allowed)).toEqual([]);
  }
  const decided = await client.check(KEYS);
  expect(decided.filter(({ allowed }) => allowed)).toEqual([]);
});
