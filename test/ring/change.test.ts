import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { type Decided, RingClient, VARS } from "./ring-client.ts";

const KEYS = Array.from({ length: 2_000 }, (_, n) => `key-${n}`);
const LIMIT = 10;
/** Spent by each key before the ring changes. */
const BEFORE = 4;
/** A window that does not end while a test runs. */
const POLICY = { limit: LIMIT, window: "366d" };

let server: WorkerdServer;
let client: RingClient;

beforeAll(async () => {
  server = await startGate({ ...VARS, OWNERS: "4", HIGH_WATER: "0" }, ALL_OBJECTS);
  client = new RingClient(server, POLICY);
});

afterAll(async () => {
  await server.stop();
});

/** What share of the keys has another owner than before. */
function moved(before: readonly string[], after: readonly string[]): number {
  return before.filter((owner, at) => owner !== after[at]).length / before.length;
}

describe("the ring of a running Worker", () => {
  it("changes 4 → 5 → 6 → 3 → 4 under traffic and forgets nothing", async () => {
    const allowed = new Map(KEYS.map((key) => [key, 0]));
    const decided: Decided[] = [];
    const send = async (keys: readonly string[]) => {
      const decisions = await client.check(keys);
      decided.push(...decisions);
      for (const [at, key] of keys.entries()) {
        if (decisions[at]?.allowed) allowed.set(key, (allowed.get(key) ?? 0) + 1);
      }
    };
    for (let n = 0; n < BEFORE; n++) await send(KEYS);

    // Steady traffic: single checks that share calls, and batches, of keys in a moving order.
    let isOver = false;
    const keep = async (size: number, step: number) => {
      for (let at = 0; !isOver; at += step) {
        const from = at % (KEYS.length - size);
        await send(KEYS.slice(from, from + size));
      }
    };
    const traffic = [keep(1, 7), keep(1, 11), keep(1, 13), keep(40, 37), keep(40, 397)];

    const owners = async () => (await client.settled()).owners.map(({ name }) => name);
    const shares: number[] = [];
    let map = await client.ownersOf(KEYS);
    const changed = async (change: Promise<void>) => {
      await change;
      await client.settled();
      const now = await client.ownersOf(KEYS);
      shares.push(moved(map, now));
      const before = map;
      map = now;
      return { before, now };
    };
    for (const share of [1 / 5, 1 / 6]) {
      const { before, now } = await changed(client.add());
      const newcomer = (await owners()).at(-1);
      expect(shares.at(-1)).toBeGreaterThan(share - 0.02);
      expect(shares.at(-1)).toBeLessThan(share + 0.02);
      expect(now.every((owner, at) => owner === before[at] || owner === newcomer)).toBe(true);
    }
    for (const gone of ["weur/0", "weur/4", "weur/2"]) {
      const { before, now } = await changed(client.remove(gone));
      expect(now.every((owner, at) => (owner === before[at]) === (before[at] !== gone))).toBe(true);
    }
    await changed(client.add());
    expect(await owners()).toHaveLength(4);
    isOver = true;
    await Promise.all(traffic);

    // Clients that are below the limit by now come to it.
    for (let n = 0; n < LIMIT; n++) await send(KEYS);
    expect(new Set(allowed.values())).toEqual(new Set([LIMIT]));
    expect(decided.filter(({ source }) => source === "fallback")).toEqual([]);
    expect(decided.filter(({ exact }) => !exact)).toEqual([]);
  });

  it("moves overrides, and follows new live policies, while it changes", async () => {
    const day = (limit: number) => ({ ...POLICY, name: "day", limit, scope: "global" });
    const put = (limit: number) =>
      client.call("PUT", "policies", { policies: [day(limit)] }, { "If-Match": "*" });
    await put(LIMIT);
    const named = new RingClient(server, { policy: "day" });
    const keys = Array.from({ length: 300 }, (_, n) => `overridden-${n}`);
    const override = async (some: readonly string[], limit: number) => {
      for (const key of some) {
        await client.call("PUT", "overrides", { key, policy: "day", limit, duration: "1d" });
      }
    };
    await override(keys.slice(0, 100), 15);
    const before = await named.ownersOf(keys);
    const allowed = new Map(keys.map((key) => [key, 0]));
    const spend = async () => {
      const decisions = await named.check(keys);
      expect(decisions.filter(({ source }) => source === "fallback")).toEqual([]);
      for (const [at, key] of keys.entries()) {
        if (decisions[at]?.allowed) allowed.set(key, (allowed.get(key) ?? 0) + 1);
      }
    };
    for (let n = 0; n < BEFORE; n++) await spend();
    await client.add();
    await Promise.all([spend(), spend(), override(keys.slice(100, 150), 20), put(12)]);
    await client.settled();
    expect(moved(before, await named.ownersOf(keys))).toBeGreaterThan(0.1);
    for (let n = 0; n < 20; n++) await spend();
    const totals = [...allowed.values()];
    expect(totals.slice(0, 100)).toEqual(Array(100).fill(15));
    expect(totals.slice(100, 150)).toEqual(Array(50).fill(20));
    expect(totals.slice(150)).toEqual(Array(150).fill(12));
  });

  it("refuses what can't be done, and says why", async () => {
    const { owners } = await client.settled();
    const call = async (method: string, path: string, body?: object) => {
      const response = await fetch(`${server.url}_turnpike/v1/ring/${path}`, {
        method,
        headers: { Authorization: `Bearer ${VARS.TOKEN}` },
        ...(body && { body: JSON.stringify(body) }),
      });
      const { detail } = (await response.json()) as { detail: string };
      return [response.status, detail];
    };
    const [first] = owners.map(({ name }) => name);
    expect(await call("POST", "owners", { name: first })).toEqual([
      409,
      expect.stringMatching(`^${first} is in the ring already, since \\d+ ms.$`),
    ]);
    expect(await call("DELETE", "owners/weur%2F77")).toEqual([
      409,
      expect.stringContaining("weur/77 is not in the ring, which has"),
    ]);
    for (const name of [
      "weur",
      "weur/",
      "weur/01",
      "mars/1",
      "weur/1/2",
      "weur/-1",
      "weur/99999",
    ]) {
      expect(await call("DELETE", `owners/${encodeURIComponent(name)}`)).toEqual([
        400,
        expect.stringContaining('must be a region and a number, such as "weur/3"'),
      ]);
    }
    expect(await call("POST", "owners", { region: "mars" })).toEqual([
      400,
      expect.stringContaining('region must be "wnam"'),
    ]);
    expect(await call("POST", "owners", {})).toEqual([
      400,
      expect.stringContaining("region is required"),
    ]);
    expect(await call("POST", "owners", [])).toEqual([
      400,
      expect.stringContaining("input must be an object"),
    ]);
    expect(await call("POST", "owners", { region: "sam", name: "weur/9" })).toEqual([
      400,
      expect.stringContaining("name must be in sam"),
    ]);
    const both = [0, 1].map(() => call("POST", "owners", { region: "weur" }));
    const ends = (await Promise.all(both)).filter(([status]) => status === 409);
    for (const [, detail] of ends) {
      expect(detail).toMatch(/^a change to version \d+ began \d+ ms ago/);
    }
    await client.settled();
  });
});
