/**
 * The whole thing as a user runs it: what survives a pause, a restart and a crash; a real site's
 * log.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { CHECKPOINT_INTERVAL_MS } from "../src/owner/schedule.ts";
import { bundleFile } from "./bench/contenders.ts";
import { start, worker } from "./binding/cluster.ts";
import { type DevServer, startDev, stateFolder } from "./dev-server.ts";

const POLICIES = JSON.stringify([{ limit: 10, window: "1d" }]);
/** Visits of each client in a small site's log: few come often, most come once. */
const VISITS = [31, 17, 12, 11, 10, 10, 9, 5, 4, 3, 3, 2, 2, 2, ...Array<number>(40).fill(1)];

async function send({ url }: DevServer, ip: string): Promise<number> {
  const response = await fetch(`${url}/`, { headers: { "CF-Connecting-IP": ip } });
  await response.arrayBuffer();
  return response.status;
}

async function spendTen(server: DevServer, ip: string): Promise<void> {
  for (let n = 0; n < 10; n++) expect(await send(server, ip)).toBe(200);
  expect(await send(server, ip)).toBe(429);
}

describe.concurrent("wrangler dev", () => {
  it("still denies after 15 s without traffic, and after a restart", async () => {
    using state = stateFolder();
    await using server = await startDev(state.path, { POLICIES });
    await spendTen(server, "203.0.113.1");
    await sleep(15_000);
    expect(await send(server, "203.0.113.1")).toBe(429);
    await spendTen(server, "203.0.113.2");
    await sleep(3_000);
    await server.stop();
    await using again = await startDev(state.path, { POLICIES });
    expect(await send(again, "203.0.113.1")).toBe(429);
    expect(await send(again, "203.0.113.2")).toBe(429);
    expect(await send(again, "203.0.113.3")).toBe(200);
  });

  it("loses at most one checkpoint interval of counts to kill -9 in mid-load", async () => {
    using state = stateFolder();
    const policies = JSON.stringify([{ limit: 1_000_000, window: "1d" }]);
    const vars = { POLICIES: policies, OWNERS: "1" };
    await using server = await startDev(state.path, vars);
    const passedAtMs: number[] = [];
    let stopped = false;
    const load = Array.from({ length: 8 }, async () => {
      while (!stopped) {
        const status = await send(server, "203.0.113.4").catch(() => 0);
        if (status === 200) passedAtMs.push(Date.now());
        await sleep(20);
      }
    });
    const endMs = Date.now() + 7_000;
    // On a busy machine it takes longer until there is much to lose.
    while (Date.now() < endMs || passedAtMs.length < 200) await sleep(100);
    const killedMs = Date.now();
    await server.kill();
    stopped = true;
    await Promise.all(load);
    await using again = await startDev(state.path, vars);
    const response = await fetch(again.url, { headers: { "CF-Connecting-IP": "203.0.113.4" } });
    const { decision } = (await response.json()) as { decision: { remaining: number } };
    const kept = 1_000_000 - decision.remaining - 1;
    // Half a second for a checkpoint on its way to the disk of a busy machine.
    const safeUntilMs = killedMs - CHECKPOINT_INTERVAL_MS - 500;
    expect(kept).toBeGreaterThanOrEqual(passedAtMs.filter((atMs) => atMs < safeUntilMs).length);
    expect(kept).toBeGreaterThan(100);
    // Up to 8 were counted and not answered.
    expect(kept).toBeLessThanOrEqual(passedAtMs.length + 8);
  });

  it("lets exactly Σ min(10, visits) of a log's requests pass", async () => {
    using state = stateFolder();
    await using server = await startDev(state.path, { POLICIES });
    const log = VISITS.flatMap((visits, client) => Array<string>(visits).fill(`192.0.2.${client}`));
    const shuffled = log.map((ip, n) => ({ ip, at: (n * 7919) % log.length }));
    shuffled.sort((a, b) => a.at - b.at);
    const statuses = await Promise.all(shuffled.map(({ ip }) => send(server, ip)));
    const passed = statuses.filter((status) => status === 200).length;
    expect(passed).toBe(VISITS.reduce((sum, visits) => sum + Math.min(10, visits), 0));
    expect(statuses.filter((status) => status === 429).length).toBe(log.length - passed);
  });

  it("shows at once what is wrong with a policy", async () => {
    using state = stateFolder();
    const bad = JSON.stringify([{ limit: -1, window: "60s" }]);
    await expect(startDev(state.path, { POLICIES: bad })).rejects.toThrow(
      "POLICIES[0].limit must be a whole number from 0 to 1000000000, got -1",
    );
  });
});

describe("a Worker", () => {
  const owners = { TURNPIKE_OWNERS: "RateLimiter" };
  it.each<[string, Parameters<typeof worker>[2], string]>([
    [
      "Cloudflare's own rate limiter",
      { ratelimits: { TURNPIKE_OWNERS: { namespace_id: "1", simple: { limit: 9, period: 10 } } } },
      "TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter, got ",
    ],
    [
      "a service",
      { serviceBindings: { TURNPIKE_OWNERS: "x" } },
      'TURNPIKE_OWNERS must be a Durable Object binding with the class_name RateLimiter, got "Fetcher"',
    ],
    [
      "one class for both bindings",
      { durableObjects: { TURNPIKE_OWNERS: "Membership", TURNPIKE_MEMBERSHIP: "Membership" } },
      "TURNPIKE_MEMBERSHIP must be a Durable Object binding with the class_name Membership, and",
    ],
    [
      "a binding with its former name",
      { durableObjects: { RATE_LIMITER: "RateLimiter" } },
      "class_name RateLimiter (rename RATE_LIMITER; what it counted stays), got nothing",
    ],
    [
      "a compatibility date before calls to objects",
      { durableObjects: owners, compatibilityDate: "2024-04-02" },
      'compatibility_date must be 2024-04-03 or later, or compatibility_flags must have "rpc"',
    ],
  ])("does not start with %s, and says so", async (_, options, message) => {
    const script = await bundleFile(join(import.meta.dirname, "../src/worker.ts"));
    await expect(start(worker("x", script, options))).rejects.toThrow(
      message.replaceAll('"', '\\"'),
    );
  });
});
