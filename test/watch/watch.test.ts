/**
 * A Turnpike that watches itself, under a known load, through an owner's restart and a ring change.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import parsePrometheus from "parse-prometheus-text-format";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import grafana from "../../src/watch/grafana.json" with { type: "json" };
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { findPrometheus, Scraper } from "./prometheus.ts";

const POLICIES = [
  { name: "site", limit: 10, window: "1d" },
  { name: "trial", path: "/trial", limit: 1, window: "1d", shadow: true },
];
const NO_PROMETHEUS = "not run: there is no Prometheus, and apt-get could not fetch one";
const folder = mkdtempSync(join(tmpdir(), "turnpike-watch-"));
const programs = findPrometheus(folder);
const panels = grafana.panels.flatMap(({ targets }) => targets);
let server: WorkerdServer;

async function start(): Promise<void> {
  server = await startGate(
    {
      TOKEN: "metrics:reads admin:rules check:checks",
      POLICIES: JSON.stringify(POLICIES),
      QUOTA_ORIGINS: '["https://app.example.com"]',
    },
    { ...ALL_OBJECTS, folder },
  );
}
beforeAll(start);
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

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

    const written = async (unit: string) => {
      const family = parsePrometheus(await scrape()).find(
        ({ name }) => name === `turnpike_disk_${unit}_total`,
      );
      return (family?.metrics ?? []).reduce((sum, { value }) => sum + Number(value), 0);
    };
    await expect.poll(() => written("writes"), { timeout: 60_000 }).toBeGreaterThan(0);
    const bytes = await written("bytes");
    expect(bytes).toBeGreaterThan(await written("writes"));

    const text = await scrape();
    expect(text).toMatch(/^turnpike_owner_calls_total\{owner="weur\/\d",to="weur\/\d"\} \d+$/m);
    expect(text).toContain("# TYPE turnpike_evicted_keys_total counter");

    const top = "/_turnpike/v1/events/top?name=turnpike-clients&by=client,outcome&n=1";
    expect(await (await get(top, authorized("rules"))).json()).toMatchObject({
      entries: [{ dimensions: { client: "192.0.2.*", outcome: "allowed" }, count: 11 }],
    });

    // What is written within two seconds is there after any end of the process.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await server.stop();
    await start();
    expect(await sums()).toEqual(first);
    expect(await written("bytes")).toBeGreaterThanOrEqual(bytes);
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

  it("leaves out reads of a quota, and calls with a right token after a wrong one", async () => {
    const from = { "CF-Connecting-IP": "198.51.100.7" };
    const ring = "/_turnpike/v1/ring";
    const sums = async () => (await decisions()).sums;
    const before = await sums();
    expect((await get(ring, { ...from, ...authorized("guess") })).status).toBe(401);
    for (let n = 0; n < 5; n++) {
      expect((await get("/_turnpike/v1/quota", from)).status).toBe(200);
      expect((await get(ring, { ...from, ...authorized("rules") })).status).toBe(200);
    }
    await load("192.0.2.9", 1);
    const grown = { "wrong token allowed": 1, "site allowed": 1 };
    for (const [id, by] of Object.entries(grown)) before[id] = (before[id] ?? 0) + by;
    await expect.poll(sums, { timeout: 60_000 }).toEqual(before);
  });

  it("tells a real Prometheus what was sent, through a ring change, and fills each panel", async () => {
    if (!programs) return console.warn(NO_PROMETHEUS);
    const scraper = await Scraper.start(programs, folder, new URL(server.url), "reads");
    try {
      const decided = () => scraper.query("sum(turnpike_decisions_total)");
      const start = Object.values((await decisions()).sums).reduce((a, b) => a + b, 0);
      await expect.poll(decided, { timeout: 60_000 }).toBe(start);
      await load("192.0.2.3", 15);
      // The owner of a series leaves, and goes on to count it.
      const { series } = await decisions();
      const [denied = ""] = [...series.keys()].filter((labels) => labels.includes("denial-cache"));
      const owner = encodeURIComponent(JSON.parse(denied).owner);
      const path = `/_turnpike/v1/ring/owners/${owner}`;
      await fetch(new URL(path, server.url), { method: "DELETE", headers: authorized("rules") });
      await load("192.0.2.3", 15);
      const grown =
        "sum(max_over_time(turnpike_decisions_total[5m]) - min_over_time(turnpike_decisions_total[5m]))";
      await expect.poll(() => scraper.query(grown), { timeout: 60_000 }).toBe(30);
      const resets = "sum(resets(turnpike_decisions_total[5m]))";
      expect(await scraper.query(resets)).toBe(0);
      expect([...(await decisions()).series.keys()].sort()).toEqual([...series.keys()].sort());
      // Prometheus extends the increase to the ends of the range, by one scrape at most.
      const increase = (await scraper.query("sum(increase(turnpike_decisions_total[5m]))")) ?? 0;
      expect(increase).toBeGreaterThanOrEqual(30);
      expect(increase).toBeLessThan(45);
      // New clients, so that owners write, and tell it again: one value of a series is no rate.
      let clients = 10;
      const filled = async (expr: string) => {
        for (let n = 0; n < 8; n++) await load(`192.0.2.${++clients}`, 1);
        return scraper.query(expr);
      };
      for (const { expr } of panels) {
        await expect
          .poll(() => filled(expr), { timeout: 60_000, interval: 2_000 })
          .toBeGreaterThanOrEqual(0);
      }
    } finally {
      await scraper.stop();
    }
  });

  it("satisfies promtool", async () => {
    if (!programs) return console.warn(NO_PROMETHEUS);
    const checked = spawnSync(programs.promtool, ["check", "metrics"], { input: await scrape() });
    expect(String(checked.stdout) + String(checked.stderr)).toBe("");
  });

  it("refuses an address that guessed at one door at all others", async () => {
    const from = { "CF-Connecting-IP": "198.51.100.9" };
    const statusOf = async (path: string, token: string) =>
      (await get(path, { ...from, ...authorized(token) })).status;
    for (let n = 0; n < 10; n++)
      expect(await statusOf("/_turnpike/metrics", `guess${n}`)).toBe(401);
    expect(await statusOf("/_turnpike/v1/ring", "rules")).toBe(429);
    expect(await statusOf("/_turnpike/live", "rules")).toBe(429);
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
