/** Blocks against the deployed Worker in a workerd with nothing in front, killed and started again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [{ limit: 5, window: "366d" }];
/** Milliseconds after the 204 at which the process is killed. */
const KILLS_MS = [0, 100, 300];

let folder: string;
let gate: WorkerdServer;

const start = async () => {
  gate = await startGate({ POLICIES: JSON.stringify(POLICIES), TOKEN: "dev" }, folder);
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "turnpike-blocks-"));
  await start();
});

afterAll(async () => {
  await gate.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function post(path: string, body: unknown): Promise<number> {
  const response = await fetch(`${gate.url}_turnpike/v1/${path}`, {
    method: "POST",
    headers: { Authorization: "Bearer dev" },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

async function visit(address: string): Promise<{ status: number; left: string | undefined }> {
  const response = await fetch(gate.url, { headers: { "CF-Connecting-IP": address } });
  await response.arrayBuffer();
  const [, left] = /r=(\d+)/.exec(response.headers.get("RateLimit") ?? "") ?? [];
  return { status: response.status, left };
}

async function killAfter(ms: number): Promise<void> {
  await sleep(ms);
  await gate.kill();
  await start();
}

describe("what an operator did survives kill -9 right after the 204", () => {
  it.each(KILLS_MS)("a block, an unblock and a reset, killed after %i ms", async (ms) => {
    const [blocked, freed, spent] = [`192.0.2.${ms % 250}`, `198.51.100.${ms % 250}`, "::1"];
    expect(await post("block", { key: blocked, duration: "10d" })).toBe(204);
    expect(await post("block", { key: freed, duration: "10d" })).toBe(204);
    await killAfter(ms);
    expect((await visit(blocked)).status).toBe(429);
    expect((await visit(freed)).status).toBe(429);
    for (let n = 0; n < 5; n++) await visit(spent);
    // Until a checkpoint holds what was spent.
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
