/**
 * Blocks against the deployed Worker in a workerd with nothing in front, killed and started again.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [
  { limit: 5, window: "366d", path: "/counted" },
  ...[
    { name: "plain", key: ["ip"] },
    { name: "wide", key: ["ip/48"] },
    { name: "each", key: ["ip", "path"] },
    { name: "header", key: ["header:X-Api-Key"] },
    { name: "leased", key: ["ip"], lease: 0.1 },
    { name: "method", key: ["ip", "method"] },
  ].map((policy) => ({ ...policy, path: `/${policy.name}/*`, limit: 1_000, window: "1d" })),
];
/** Milliseconds after the 204 at which the process is killed. */
const KILLS_MS = [0, 100, 300];

let folder: string;
let gate: WorkerdServer;

/** @param region where requests enter: with no Cloudflare in front, at home */
const start = async (region = "weur") => {
  const vars = { POLICIES: JSON.stringify(POLICIES), TOKEN: "dev", HOME_REGION: region };
  gate = await startGate(vars, { folder });
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "turnpike-blocks-"));
  await start();
});

afterAll(async () => {
  await gate.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function call(path: string, body: unknown, from = "192.0.2.254", token = "dev") {
  const response = await fetch(`${gate.url}_turnpike/v1/${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "CF-Connecting-IP": from },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text && JSON.parse(text) };
}

async function post(path: string, body: unknown): Promise<number> {
  return (await call(path, body)).status;
}

async function visit(address: string, path = "counted", headers: Record<string, string> = {}) {
  const response = await fetch(`${gate.url}${path}`, {
    headers: { "CF-Connecting-IP": address, ...headers },
  });
  await response.arrayBuffer();
  const [, left] = /r=(\d+)/.exec(response.headers.get("RateLimit") ?? "") ?? [];
  return { status: response.status, left };
}

async function killAfter(ms: number, region?: string): Promise<void> {
  await sleep(ms);
  await gate.kill();
  await start(region);
}

describe("what an operator did survives kill -9 right after the 204", () => {
  it.each(KILLS_MS)("a block, an unblock and a reset, killed after %i ms", async (ms) => {
    const [blocked, freed, spent] = [`192.0.2.${ms % 250}`, `198.51.100.${ms % 250}`, "::1"];
    expect(await post("block", { key: blocked, duration: "10d" })).toBe(200);
    expect(await post("block", { ip: freed, duration: "10d" })).toBe(200);
    await killAfter(ms);
    expect((await visit(blocked)).status).toBe(429);
    expect((await visit(freed)).status).toBe(429);
    for (let n = 0; n < 5; n++) await visit(spent);
    // By then, a checkpoint has what was spent.
    await sleep(3_000);
    expect((await visit(spent)).status).toBe(429);
    expect(await post("unblock", { key: freed })).toBe(204);
    expect(await post("reset", { key: "::/64", policy: "default" })).toBe(204);
    await killAfter(ms);
    expect((await visit(blocked)).status).toBe(429);
    expect((await visit(freed)).status).toBe(200);
    expect(await visit(spent)).toMatchObject({ status: 200, left: "4" });
    expect(await post("reset", { key: "::/64", policy: "default" })).toBe(204);
  });
});

it("a block is on disk in every region, even where nothing has been counted", async () => {
  const [blocked, freed] = ["192.0.2.201", "192.0.2.202"];
  for (const ip of [blocked, freed]) await call("block", { ip, duration: "10d" });
  expect(await post("unblock", { ip: freed })).toBe(204);
  for (const region of ["oc", "me", "weur"]) {
    await killAfter(0, region);
    expect([region, (await visit(blocked)).status]).toEqual([region, 429]);
    expect([region, (await visit(freed)).status]).toEqual([region, 200]);
  }
});

describe("a block of an address", () => {
  /** Returns the status that a client with this address gets under each policy. */
  const met = async (address: string) => {
    const paths = ["plain/x", "wide/x", "each/x"];
    return Promise.all(paths.map(async (path) => (await visit(address, path)).status));
  };

  it("denies the address under every policy that counts by it, and names the other policies", async () => {
    const ip = "203.0.113.7";
    const answer = await call("block", { ip, duration: "1h" });
    expect(answer).toEqual({ status: 200, body: { unreached: ["each", "header"] } });
    expect(await met(ip)).toEqual([429, 429, 200]);
    expect(await post("block", { key: [ip, "/each/x"], duration: "1h" })).toBe(204);
    expect(await met(ip)).toEqual([429, 429, 429]);
    expect(await met("203.0.113.8")).toEqual([200, 200, 200]);
    expect(await post("unblock", { ip })).toBe(204);
    expect(await met(ip)).toEqual([200, 200, 429]);
    // The address given as a key blocks the same client.
    const text = await call("block", { key: ip, duration: "1h" });
    expect(text).toEqual({ status: 200, body: { unreached: ["each", "header", "method"] } });
    expect(await met(ip)).toEqual([429, 429, 429]);
    expect(await post("unblock", { key: ip })).toBe(204);
    expect(await post("unblock", { key: [ip, "/each/x"] })).toBe(204);
    expect(await met(ip)).toEqual([200, 200, 200]);
  });

  it("takes the parts of a key as an operator writes them, in every call", async () => {
    const [ip, other] = ["2001:db8:7::7", "2001:db8:7::8"];
    const each = ["2001:DB8:7::7", "/Each/X/"];
    for (const _ of [1, 2, 3]) expect((await visit(ip, "each/x")).status).toBe(200);
    const asked = { key: each, policy: "each" };
    expect((await call("peek", asked)).body).toMatchObject({ remaining: 997 });
    expect((await call("check", asked)).body).toMatchObject({ remaining: 996 });
    expect((await call("explain", asked)).body.policies[0].key).toEqual([
      "2001:db8:7::/64",
      "/each/x",
    ]);
    expect(await post("reset", asked)).toBe(204);
    expect(await visit(ip, "each/x")).toEqual({ status: 200, left: "999" });
    expect(await post("block", { key: each, duration: "1h" })).toBe(204);
    expect([(await visit(ip, "each/x")).status, (await visit(other, "each/x")).status]).toEqual([
      429, 429,
    ]);
    expect(await post("unblock", { key: each })).toBe(204);
    expect((await visit(ip, "each/x")).status).toBe(200);
    const method = ["203.0.113.78", "head"];
    expect(await post("block", { key: method, duration: "1h" })).toBe(204);
    expect((await visit(method[0] as string, "method/x")).status).toBe(429);
    // A key that an app makes up is the text that was written.
    expect(await post("block", { key: ["App", "/X"], duration: "1h" })).toBe(204);
    const inline = { limit: 5, window: "1h" };
    expect((await call("check", { key: ["App", "/X"], ...inline })).body).toMatchObject({
      reason: "blocked",
    });
    expect((await call("check", { key: ["app", "/x"], ...inline })).body).toMatchObject({
      reason: "ok",
    });
  });

  it("denies the address under each method if the method is part of the key", async () => {
    const ip = "203.0.113.77";
    const each = async () => {
      const methods = ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PROPFIND"];
      const statuses = methods.map(async (method) => {
        const headers = { "CF-Connecting-IP": ip };
        const response = await fetch(`${gate.url}method/x`, { method, headers });
        await response.arrayBuffer();
        return response.status;
      });
      return new Set(await Promise.all(statuses));
    };
    expect(await each()).not.toContain(429);
    await call("block", { ip, duration: "1h" });
    expect(await each()).toEqual(new Set([429]));
    expect(await post("reset", { ip })).toBe(204);
    expect(await each()).toEqual(new Set([429]));
    expect(await post("unblock", { ip })).toBe(204);
    expect(await each()).not.toContain(429);
  });

  it.each([
    ["2001:db8:1:2::9", "2001:db8:1:2::1", "2001:db8:1:ffff::1", "2001:db8:2::1"],
    ["2001:DB8:5:4:0:0:0:9", "2001:db8:5:4::1", "2001:db8:5:5::1", "2001:db8:6::1"],
    ["::ffff:198.51.100.9", "198.51.100.9", "198.51.100.10", "198.51.100.11"],
  ])("blocks the network of the address, in any spelling: %s", async (ip, same, near, far) => {
    expect((await call("block", { ip, duration: "1h" })).status).toBe(200);
    expect(await met(same)).toEqual([429, 429, 200]);
    expect(await met(near)).toEqual([200, near.includes(":") ? 429 : 200, 200]);
    expect(await met(far)).toEqual([200, 200, 200]);
    expect(await post("unblock", { ip })).toBe(204);
    expect(await met(same)).toEqual([200, 200, 200]);
  });

  it.each([
    "2001:db8:1:3::9",
    "2001:DB8:1:4::/64",
    "2001:db8:1:3::1/64",
    "2001:db8:1:3::/56",
    "2001:db8:1::/96",
    "::ffff:203.0.113.7",
    "203.0.113.7/32",
    "203.0.113.7:443",
    "[2001:db8:1:3::9]",
    "[2001:db8:1:3::9]:443",
    " 203.0.113.7",
    "203.0.113.7\n",
    "203.000.113.007",
    "fe80::1%eth0",
    "203.0.113.0/24",
  ])("is refused if it could never be in force: %s", async (key) => {
    for (const [verb, body] of Object.entries({
      block: { key, duration: "1h" },
      unblock: { key },
      reset: { key, policy: "plain" },
    })) {
      const { status, body: problem } = await call(verb, body);
      expect([verb, status, problem.field]).toEqual([verb, 400, "key"]);
      expect(problem.detail).toMatch(/^key is the key of no policy: write \{"ip": "[\w:.]+"\} for/);
    }
    // As a list of parts, such a text is a key like any other.
    expect(await post("block", { key: [key], duration: "1h" })).toBe(204);
    expect(await call("check", { key, limit: 9, window: "1h" })).toMatchObject({
      body: { allowed: false, reason: "blocked" },
    });
  });

  it("reaches a Worker of another zone by both parts of its key, and never all such Workers", async () => {
    const shared = "2a06:98c0:3600::103";
    const asWorker = async (zone: string) =>
      (await visit(shared, "plain/x", { "CF-Worker": zone })).status;
    expect(await call("block", { ip: shared, duration: "1h" })).toMatchObject({
      status: 400,
      body: { field: "ip" },
    });
    const key = [shared, "bad.example"];
    expect(await post("block", { key, duration: "1h" })).toBe(204);
    expect([await asWorker("bad.example"), await asWorker("good.example")]).toEqual([429, 200]);
    expect(await post("unblock", { key })).toBe(204);
    expect(await asWorker("bad.example")).toBe(200);
  });
});

describe("a block of a key with a lease", () => {
  it("holds, however often the owner is asked", async () => {
    const ip = "203.0.113.60";
    for (let n = 0; n < 8; n++) expect((await visit(ip, "leased/x")).status).toBe(200);
    await call("block", { ip, duration: "1h" });
    for (let n = 0; n < 8; n++) expect((await visit(ip, "leased/x")).status).toBe(429);
    // A cheaper check is asked anew each time, so its key becomes hot.
    for (let cost = 8; cost > 0; cost--) {
      const { body } = await call("check", { ip, policy: "leased", cost });
      expect(body).toMatchObject({ allowed: false, reason: "blocked", exact: true });
    }
    expect((await visit(ip, "leased/x")).status).toBe(429);
  });
});

describe("an admin at another address", () => {
  it.each(["unblock", "reset"])("lifts the lock for wrong tokens by %s", async (verb) => {
    const locked = verb === "reset" ? "203.0.113.50" : "203.0.113.51";
    const check = { key: "k", limit: 9, window: "1h" };
    for (let n = 0; n < 11; n++) await call("check", check, locked, "wrong");
    expect((await call("check", check, locked)).status).toBe(429);
    expect(await post(verb, { ip: locked })).toBe(204);
    for (let n = 0; n < 15; n++) expect((await call("check", check, locked)).status).toBe(200);
    // Right tokens have counted nothing: ten wrong ones lock the address again.
    for (let n = 0; n < 11; n++) await call("check", check, locked, "wrong");
    expect((await call("check", check, locked)).status).toBe(429);
  });

  it("resets all that an address has spent, or one policy of it", async () => {
    const ip = "2001:db8:77::1";
    const spend = async () => {
      await visit(ip, "plain/x");
      return (await visit(ip, "wide/x")).left;
    };
    expect([await spend(), await spend()]).toEqual(["999", "998"]);
    expect(await post("reset", { ip, policy: "wide" })).toBe(204);
    expect([await spend(), (await visit(ip, "plain/x")).left]).toEqual(["999", "996"]);
    expect(await post("reset", { ip })).toBe(204);
    expect([await spend(), (await visit(ip, "plain/x")).left]).toEqual(["999", "998"]);
    expect(await call("explain", { ip, policy: "wide" })).toMatchObject({
      body: { policies: [{ policy: "wide", remaining: 999 }] },
    });
  });
});
