import parsePrometheus from "parse-prometheus-text-format";
import { describe, expect, it } from "vitest";
import { who } from "../../src/cli/operate/typed.ts";
import grafana from "../../src/watch/grafana.json" with { type: "json" };
import { labelOf } from "../../src/watch/label.ts";
import { metricsText, type Sums } from "../../src/watch/metrics.ts";

const odd = 'a "b" \\ c\nd';
const decisions: Sums = new Map([
  ["weur/0", [{ dimensions: { policy: odd, outcome: "denied" }, count: 7 }]],
  ["weur/1", [{ dimensions: { policy: "site", outcome: "allowed" }, count: 5 }]],
]);
const requests: Sums = new Map([
  ["weur/0", [{ dimensions: { outcome: "denied", source: "owner" }, count: 4 }]],
]);
const latency: Sums = new Map([
  [
    "weur/0",
    [
      ...["5", "1", "+Inf"].map((le, at) => ({ dimensions: { le }, count: at + 1 })),
      { dimensions: { sum: "ms" }, count: 3_500 },
    ],
  ],
]);
const owners = [{ name: "weur/0", keys: 3, checksPerSecond: 1, sinceMs: 0 }];
const ring = { region: "weur" as const, version: 4, settling: true, waitingFor: [], down: [] };

const calls: Sums = new Map([["weur/1", [{ dimensions: { to: "weur/0" }, count: 8 }]]]);
const evicted: Sums = new Map([["weur/1", [{ dimensions: { by: "weur/0" }, count: 2 }]]]);
const seconds: Sums = new Map([["weur/1", [{ dimensions: {}, count: 6 }]]]);
const disk: Sums = new Map([
  [
    "weur/1",
    Object.entries({ writes: 3, rows: 9, bytes: 4_000 }).map(([unit, count]) => ({
      dimensions: { by: "weur/0", kind: "checkpoint", unit },
      count,
    })),
  ],
]);
const text = metricsText(
  [requests, decisions, latency, calls, evicted, seconds, disk],
  [{ ...ring, owners }],
);
const families = new Map(parsePrometheus(text).map((family) => [family.name, family]));

describe("the metrics", () => {
  it("are read by a parser of others, odd names too", () => {
    expect(families.get("turnpike_decisions_total")).toMatchObject({
      type: "COUNTER",
      metrics: [
        { labels: { owner: "weur/0", policy: odd, outcome: "denied" }, value: "7" },
        { labels: { owner: "weur/1", policy: "site" }, value: "5" },
      ],
    });
    expect(families.get("turnpike_requests_total")?.metrics).toEqual([
      { labels: { owner: "weur/0", outcome: "denied", source: "owner" }, value: "4" },
    ]);
    expect(families.get("turnpike_ring_version")?.metrics).toMatchObject([{ value: "4" }]);
    expect(families.get("turnpike_owner_keys")?.metrics).toMatchObject([{ value: "3" }]);
  });

  it("have calls, evictions and seconds of the fallback", () => {
    const [owner, [called, by]] = ["weur/1", [{ to: "weur/0" }, { by: "weur/0" }]];
    expect(families.get("turnpike_owner_calls_total")?.metrics).toEqual([
      { labels: { owner, ...called }, value: "8" },
    ]);
    expect(families.get("turnpike_evicted_keys_total")?.metrics).toEqual([
      { labels: { owner, ...by }, value: "2" },
    ]);
    expect(families.get("turnpike_fallback_seconds_total")?.metrics).toEqual([
      { labels: { owner }, value: "6" },
    ]);
  });

  it("have what owners write, and say why they have no pause", () => {
    const labels = { owner: "weur/1", by: "weur/0", kind: "checkpoint" };
    for (const [name, value] of Object.entries({ writes: "3", rows: "9", bytes: "4000" })) {
      const { metrics } = families.get(`turnpike_disk_${name}_total`) ?? {};
      expect(metrics).toEqual([{ labels, value }]);
    }
    expect(text).toMatch(/^# HELP turnpike_disk_writes_total .* clock stands still/m);
  });

  it("have a histogram whose buckets add up", () => {
    const [metric] = families.get("turnpike_check_duration_seconds")?.metrics ?? [];
    const { buckets } = metric ?? {};
    expect(buckets).toMatchObject({
      "0.001": "2",
      "0.002": "2",
      "0.005": "3",
      "1": "3",
      "+Inf": "6",
    });
    expect(text).toContain('turnpike_check_duration_seconds_count{owner="weur/0"} 6');
    expect(text).toContain('turnpike_check_duration_seconds_sum{owner="weur/0"} 3.5');
  });

  it("are all that the dashboard shows", () => {
    const shown = JSON.stringify(grafana).match(/turnpike_\w+/g) ?? [];
    const names = shown.map((name) => name.replace(/_bucket$/, ""));
    expect(names.filter((name) => !families.has(name))).toEqual([]);
    // A rate needs two samples. By default, Prometheus scrapes once a minute.
    const windows = JSON.stringify(grafana).match(/\[\w+\]/g);
    expect(new Set(windows)).toEqual(new Set(["[2m]", "[5m]"]));
  });
});

describe("the label of a client", () => {
  it.each([
    [["192.0.2.77"], "192.0.2.*"],
    [["2001:db8:aaaa:bb::/64"], "2001:db8:aaaa:*"],
    [["user-1234567890"], "user-12…"],
    [["ab"], "a…"],
    [[""], "…"],
    [["192.0.2.77", "/login"], '["192.0.2.*","/lo…"]'],
    [["[1]"], '["[…"]'],
  ])("is for %j the prefix %s", (key, label) => {
    expect(labelOf(key, "prefix")).toBe(label);
  });

  it.each([
    [["192.0.2.77"], "192.0.2.77"],
    [["user-1"], "user-1"],
    [[""], ""],
    [
      ["192.0.2.77", "/login"],
      ["192.0.2.77", "/login"],
    ],
    [["[1]"], ["[1]"]],
    [["ip:1"], ["ip:1"]],
  ])("in full is for %j what the command line reads as %j", (key, read) => {
    expect(who(labelOf(key, "full"))).toEqual({ key: read });
  });
});
