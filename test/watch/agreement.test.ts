/**
 * What was sent, what the metrics, the page, the events and the log say of it: the same.
 *
 *     WATCHED_REQUESTS=100000 npx vitest run --config test/vitest.config.ts test/watch/agreement.test.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import parsePrometheus from "parse-prometheus-text-format";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";

const REQUESTS = Number(process.env.WATCHED_REQUESTS ?? 2_000);
/** Requests that are under way at once. */
const AT_ONCE = 32;
const CLIENTS = 50;
/** Only a server that hangs takes so long. */
const PATIENCE_MS = 180_000 + 20 * REQUESTS;
const POLICIES = [
  { name: "site", limit: Math.ceil(REQUESTS / CLIENTS / 2), window: "1d" },
  { name: "login", path: "/login", limit: 3, window: "1d" },
  { name: "trial", path: "/trial", limit: 1, window: "1d", shadow: true },
];
const PATHS = ["/", "/", "/", "/login", "/trial"];
const headers = { Authorization: "Bearer dev" };
const folder = mkdtempSync(join(tmpdir(), "turnpike-agreement-"));

let server: WorkerdServer;
let output = "";
const sent = { answered: 0, allowed: 0, denied: 0 };
const byClient = new Map<string, number>();

async function start(): Promise<void> {
  server = await startGate(
    { TOKEN: "dev", WATCH: "full", LOG_DENIALS: "1", POLICIES: JSON.stringify(POLICIES) },
    {
      ...ALL_OBJECTS,
      folder,
      onOutput: (text) => {
        output += text;
      },
    },
  );
}

/** @param stop ends it early; each request is counted as its answer comes */
async function load(requests: number, stop = () => false): Promise<void> {
  let next = 0;
  const send = async () => {
    while (next < requests && !stop()) {
      const n = next++;
      const client = `198.51.100.${n % CLIENTS}`;
      const path = PATHS[Math.floor(n / CLIENTS) % PATHS.length] as string;
      const answer = await fetch(new URL(path, server.url), {
        headers: { "CF-Connecting-IP": client },
      });
      await answer.body?.cancel();
      sent.answered++;
      if (answer.status === 200) sent.allowed++;
      else if (answer.status === 429) sent.denied++;
      else throw new Error(`status ${answer.status}`);
      byClient.set(client, (byClient.get(client) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
}

async function json<Body>(path: string): Promise<Body> {
  const answer = await fetch(new URL(path, server.url), { headers });
  return (await answer.json()) as Body;
}

async function metricsText(): Promise<string> {
  const answer = await fetch(new URL("/_turnpike/metrics", server.url), { headers });
  return answer.text();
}

/** All that only grows, by name and labels. */
async function counters(): Promise<Map<string, number>> {
  const lines = (await metricsText()).matchAll(/^(\w+_(?:total|bucket|sum|count)\{.*\}) (.*)$/gm);
  return new Map(Array.from(lines, ([, id = "", value]) => [id, Number(value)]));
}

/** Decisions of the metrics by policy and outcome. */
async function counted(): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { name, metrics } of parsePrometheus(await metricsText())) {
    if (name !== "turnpike_decisions_total") continue;
    for (const { labels = {}, value } of metrics) {
      const id = `${labels.policy} ${labels.outcome}`;
      sums[id] = (sums[id] ?? 0) + Number(value);
    }
  }
  return sums;
}

interface Snapshot {
  points: [number, ...number[]][];
  decisions: { policy: string; outcome: string; source: string; count: number }[];
  clients: { client: string; allowed: number; denied: number }[];
}

/** The first thing that a page gets that opens now. */
async function page(): Promise<Snapshot> {
  const ended = new AbortController();
  const answer = await fetch(new URL("/_turnpike/live?range=1h", server.url), {
    headers,
    signal: ended.signal,
  });
  let text = "";
  for await (const chunk of answer.body as ReadableStream<Uint8Array>) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n\n")) break;
  }
  ended.abort();
  return JSON.parse(text.slice(text.indexOf("{"), text.indexOf("\n\n"))) as Snapshot;
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What each policy must have decided. A policy that denies leaves the others' costs as they were. */
function expected() {
  const each = Array.from({ length: REQUESTS }, (_, n) => PATHS[Math.floor(n / CLIENTS) % 5]);
  const of = (path: string) => each.filter((one) => one === path).length;
  return { site: REQUESTS, login: of("/login"), trial: of("/trial") };
}

beforeAll(start);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe(`${REQUESTS} requests of a known mix`, { timeout: PATIENCE_MS }, () => {
  it("are the same in the metrics, on the page, in the top list and in the log", async () => {
    await load(REQUESTS);
    expect(sent.allowed + sent.denied).toBe(REQUESTS);
    expect(sent.denied).toBeGreaterThan(REQUESTS / 10);
    const of = (sums: Record<string, number>, policy: string, ...outcomes: string[]) =>
      sumOf(outcomes.map((outcome) => sums[`${policy} ${outcome}`] ?? 0));
    const totals = async () => {
      const sums = await counted();
      return {
        site: of(sums, "site", "allowed", "denied"),
        login: of(sums, "login", "allowed", "denied"),
        trial: of(sums, "trial", "allowed", "shadow"),
      };
    };
    await expect.poll(totals, { timeout: 60_000 }).toEqual(expected());
    const sums = await counted();
    // A request is denied if one of its policies denies it.
    expect(of(sums, "site", "denied")).toBeLessThanOrEqual(sent.denied);
    expect(of(sums, "site", "denied") + of(sums, "login", "denied")).toBeGreaterThanOrEqual(
      sent.denied,
    );

    const { points, decisions, clients } = await page();
    const onPage: Record<string, number> = {};
    for (const { policy, outcome, count } of decisions) {
      onPage[`${policy} ${outcome}`] = (onPage[`${policy} ${outcome}`] ?? 0) + count;
    }
    expect(onPage).toEqual(sums);
    // A request that two policies decide is one on the chart, and one of its client.
    const line = (at: number) => sumOf(points.map((point) => point[at] ?? 0));
    expect([line(1) + line(3), line(2)]).toEqual([sent.allowed, sent.denied]);
    expect(line(4)).toBe(0);
    expect(clients.length).toBeGreaterThan(0);

    const top = await json<{
      total: number;
      entries: { dimensions: { client: string }; count: number }[];
    }>(`/_turnpike/v1/events/top?name=turnpike-clients&by=client&n=1000&last=1h`);
    expect(top.total).toBe(REQUESTS);
    expect(
      Object.fromEntries(top.entries.map(({ dimensions, count }) => [dimensions.client, count])),
    ).toEqual(Object.fromEntries(byClient));

    const lines = output.split("\n").filter((line) => line.includes('"event":"denied"'));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).not.toMatch(/198\.51\.100\.\d/);
  });

  it("have waited as long in sum as the histogram's buckets say", async () => {
    const text = await metricsText();
    const valuesOf = (suffix: string) =>
      Array.from(text.matchAll(new RegExp(`^turnpike_check_duration_seconds_${suffix}$`, "gm")));
    const [[, sum = ""] = [], ...otherSums] = valuesOf("sum\\{.*\\} (.*)");
    expect(otherSums).toEqual([]);
    let [least, most, lower, below] = [0, 0, 0, 0];
    for (const [, le = "", value] of valuesOf('bucket\\{.*le="(.*)"\\} (.*)')) {
      const more = Number(value) - below;
      const upper = le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
      least += more * lower;
      if (more > 0) most += more * upper;
      [lower, below] = [upper, Number(value)];
    }
    expect(below).toBeGreaterThan(REQUESTS / 10);
    expect(Number(sum)).toBeGreaterThanOrEqual(least);
    expect(Number(sum)).toBeLessThanOrEqual(most);
    expect(least).toBeGreaterThan(0);
  });

  it("are never counted twice, and lost for an interval at most, where the process is killed", async () => {
    // On disk two seconds after it was counted.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const before = (await counted())["site allowed"] ?? 0;
    const denied = (await counted())["site denied"] ?? 0;
    const answered = sent.answered;
    let isOver = false;
    const loading = load(Number.POSITIVE_INFINITY, () => isOver).catch(() => {});
    await expect.poll(() => sent.answered, { timeout: 60_000 }).toBeGreaterThan(answered + 500);
    const shown = await counters();
    await server.kill();
    isOver = true;
    await loading;
    await start();
    const restarted = await counters();
    expect([...shown.keys()].filter((id) => id.includes("_disk_bytes_"))).not.toEqual([]);
    expect([...shown].filter(([id, value]) => (restarted.get(id) ?? 0) < value)).toEqual([]);
    const sums = await counted();
    const after = (sums["site allowed"] ?? 0) + (sums["site denied"] ?? 0);
    expect(after).toBeGreaterThanOrEqual(before + denied);
    // Those under way at the end may have been counted without an answer.
    expect(after).toBeLessThanOrEqual(sent.answered + AT_ONCE);
    sent.answered = after;
    await load(200);
    const total = async () => {
      const now = await counted();
      return (now["site allowed"] ?? 0) + (now["site denied"] ?? 0);
    };
    await expect.poll(total, { timeout: 60_000 }).toBe(after + 200);
  });

  it("are as many as the checks of a batch, where they come by the API", async () => {
    const requests = async () =>
      sumOf(
        Array.from(
          (await metricsText()).matchAll(/^turnpike_requests_total\{.*\} (.*)$/gm),
          (one) => Number(one[1]),
        ),
      );
    const before = await requests();
    const checks = Array.from({ length: 60 }, (_, n) => ({ key: `batch-${n}`, policy: "site" }));
    const url = new URL("/_turnpike/v1/check", server.url);
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ checks }) });
    expect(answer.status).toBe(200);
    await expect.poll(requests, { timeout: 60_000 }).toBe(before + checks.length);
  });
});
