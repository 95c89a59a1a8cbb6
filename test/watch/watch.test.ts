/** A Turnpike that watches itself, under a known load, through an owner's restart and a ring change. */
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import parsePrometheus from "parse-prometheus-text-format";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

const POLICIES = [
  { name: "site", limit: 10, window: "1d" },
  { name: "trial", path: "/trial", limit: 1, window: "1d", shadow: true },
];
const folder = mkdtempSync(join(tmpdir(), "turnpike-watch-"));
let server: WorkerdServer;

async function start(): Promise<void> {
  server = await startWorkerd({
    script: await bundleFile("src/worker.ts"),
    vars: {
      TOKEN: "metrics:reads admin:rules check:checks",
      POLICIES: JSON.stringify(POLICIES),
      DEADLINE: "10s",
    },
    hasObjects: true,
    hasMembership: true,
    hasEvents: true,
    folder,
  });
}
beforeAll(start);
afterAll(() => server.stop());

function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(new URL(path, server.url), { headers });
}

const authorized = (token: string) => ({ Authorization: `Bearer ${token}` });
const scrape = async () => (await get("/_turnpike/metrics", authorized("reads"))).text();

/** Decisions by policy and outcome, and all the series they are made of. */
async function decisions() {
  const family = parsePrometheus(await scrape()).find(
    ({ name }) => name === "turnpike_decisions_total",
  );
  const sums: Record<string, number> = {};
  const series = new Map<string, number>();
  for (const { labels = {}, value } of family?.metrics ?? []) {
    const id = `${labels.policy} ${labels.outcome}`;
    sums[id] = (sums[id] ?? 0) + Number(value);
    series.set(JSON.stringify(labels), Number(value));
  }
  return { sums, series };
}

async function load(client: string, requests: number, path = "/"): Promise<void> {
  for (let n = 0; n < requests; n++) await get(path, { "CF-Connecting-IP": client });
}

describe("a Turnpike that watches itself", () => {
  it("says what was sent, and goes on from there after a restart and a ring change", async () => {
    await load("192.0.2.1", 14);
    await load("192.0.2.2", 3, "/trial");
    const first = { "site allowed": 13, "site denied": 4, "trial allowed": 1, "trial shadow": 2 };
    const sums = async () => (await decisions()).sums;
    await expect.poll(sums, { timeout: 60_000 }).toEqual(first);
    const before = await decisions();

    const top = "/_turnpike/v1/events/top?name=turnpike-clients&by=client,outcome&n=1";
    expect(await (await get(top, authorized("rules"))).json()).toMatchObject({
      entries: [{ dimensions: { client: "192.0.2.*", outcome: "allowed" }, count: 14 }],
    });

    // What is written within two seconds is there after any end of the process.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await server.stop();
    await start();
    expect(await sums()).toEqual(first);
    const owners = { method: "POST", body: JSON.stringify({ region: "weur" }) };
    const added = await fetch(new URL("/_turnpike/v1/ring/owners", server.url), {
      ...owners,
      headers: authorized("rules"),
    });
    expect(added.status).toBe(202);
    await load("192.0.2.3", 12);
    const second = { ...first, "site allowed": 23, "site denied": 6 };
    await expect.poll(sums, { timeout: 60_000 }).toEqual(second);
    const after = await decisions();
    for (const [id, value] of before.series) {
      expect(after.series.get(id)).toBeGreaterThanOrEqual(value);
    }
  });

  it("satisfies promtool, where there is one", async () => {
    const checked = spawnSync("promtool", ["check", "metrics"], { input: await scrape() });
    if (checked.error)
      console.warn("promtool is not installed: the metrics were not checked by it");
    else expect(String(checked.stdout) + String(checked.stderr)).toBe("");
  });

  it("shows its metrics to their own token and an admin's only", async () => {
    const statusOf = async (token: string, path = "/_turnpike/metrics") =>
      (await get(path, authorized(token))).status;
    expect(await statusOf("rules")).toBe(200);
    expect(await statusOf("checks")).toBe(403);
    expect(await statusOf("guessed")).toBe(401);
    expect(await statusOf("reads", "/_turnpike/v1/ring")).toBe(403);
    expect(await statusOf("reads", "/_turnpike/v1/check")).toBe(403);
  });
});
