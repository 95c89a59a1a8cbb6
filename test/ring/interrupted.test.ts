import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { stateFolder } from "../dev-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { allOnDisk } from "../on-disk.ts";
import { RingClient, VARS } from "./ring-client.ts";

const KEYS = Array.from({ length: 500 }, (_, n) => `key-${n}`);
const LIMIT = 10;
const POLICY = { limit: LIMIT, window: "366d" };
/** When the process ends, as shares of the time that a whole change takes on this machine. */
const KILLED_AT = [0.1, 0.3, 0.6];

let server: WorkerdServer;

afterEach(async () => {
  await server.kill();
});

it("completes a change that kill -9 interrupts, and forgets nothing", async () => {
  using state = stateFolder();
  let spent = 0;
  const start = async () => {
    const vars = { ...VARS, OWNERS: "2", HIGH_WATER: "0" };
    server = await startGate(vars, { ...ALL_OBJECTS, folder: state.path });
    return new RingClient(server, POLICY);
  };
  let client = await start();
  const spend = async () => {
    spent++;
    return client.check(KEYS);
  };

  await spend();
  const startMs = Date.now();
  await client.add();
  let { version } = await client.settled();
  const wholeMs = Date.now() - startMs;

  /** Orders a change and ends the process at some time after that. */
  const interrupted = async (until: (ordered: Promise<void>) => Promise<void>) => {
    await spend();
    await allOnDisk(state.path);
    const ordered = client.add();
    // The answer may never come.
    const ended = ordered.catch(() => {});
    await until(ordered);
    await server.kill();
    await ended;
    client = await start();
    const ring = await client.settled();
    expect(ring.owners).toHaveLength(1 + ring.version);
    const before = version;
    ({ version } = ring);
    return version - before;
  };
  for (const share of KILLED_AT) {
    // Whether the order was heard at all is chance; if it was, it is carried out.
    expect([0, 1]).toContain(await interrupted(() => sleep(share * wholeMs)));
  }
  expect(await interrupted((ordered) => ordered)).toBe(1);

  while (spent < LIMIT) {
    expect((await spend()).filter(({ allowed }) => !allowed)).toEqual([]);
  }
  expect((await spend()).filter(({ allowed }) => allowed)).toEqual([]);
});
