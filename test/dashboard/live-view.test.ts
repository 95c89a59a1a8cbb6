/** What one view of the live page reads for all streams of an isolate. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LiveView } from "../../src/dashboard/live-view.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

const policies = [parsePolicy({ name: "site", limit: 1, window: "1m" })];

const LATELY = [
  { dimensions: { client: "a", policy: "site", outcome: "denied" }, count: 4, error: 0 },
];

let reads: number;
let rings: number;
let fails: boolean;

beforeEach(() => {
  [reads, rings, fails] = [0, 0, false];
  vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 });
});
afterEach(() => void vi.useRealTimers());

function newView(range: "10m" | "24h" = "10m"): LiveView {
  return new LiveView({
    range,
    config: { policies, highWater: 400 },
    reader: {
      top: async (_name, _by, _n, { last } = {}) => {
        // What was decided lately is read beside it.
        if (last) reads++;
        if (fails) throw new Error("gone");
        return { total: reads, other: 0, entries: [] };
      },
      series: async () => [],
      heaviest: async (_name, _heaviest, { from }) =>
        from
          ? LATELY
          : [
              {
                dimensions: { client: "a", policy: "site", outcome: "denied" },
                count: 9,
                error: 0,
              },
              {
                dimensions: { client: "b", policy: "site", outcome: "allowed" },
                count: 12,
                error: 8,
              },
              {
                dimensions: { client: "a", policy: "login", outcome: "allowed" },
                count: 2,
                error: 0,
              },
            ],
    },
    ringsOf: async () => {
      rings++;
      return [];
    },
  });
}

const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);

describe("a view of the live page", () => {
  it("is read once a second for all who look, and the rings every five", async () => {
    const view = newView();
    for (let n = 0; n < 100; n++) {
      await Promise.all([view.next(), view.next(), view.next()]);
      pass(100);
    }
    // The first three find nothing that another has read.
    expect(reads).toBeLessThanOrEqual(2 + 12);
    expect(reads).toBeGreaterThanOrEqual(10);
    expect(rings).toBeLessThanOrEqual(2 + 2);
  });

  it("goes on with the next who looks, where the one who read has gone or failed", async () => {
    const view = newView();
    const first = await view.next();
    pass(1_000);
    fails = true;
    const [reader, other] = await Promise.allSettled([view.next(), view.next()]);
    expect(reader.status).toBe("rejected");
    expect(other).toMatchObject({ status: "fulfilled", value: first });
    pass(1_000);
    fails = false;
    const before = reads;
    await view.next();
    expect(reads).toBe(before + 1);
  });

  it("reads a chart of a day less often than its clients, and sends it only if it is new", async () => {
    const view = newView("24h");
    let shownMs: number | undefined;
    let charts = 0;
    for (let second = 0; second < 60; second++) {
      const { text, chartMs } = await view.next(shownMs);
      const said = JSON.parse(text);
      expect(said.clients[0].client).toBe("a");
      expect("points" in said).toBe(chartMs !== shownMs);
      if ("points" in said) charts++;
      shownMs = chartMs;
      pass(1_000);
    }
    expect([charts, reads]).toEqual([5, 5]);
    expect(JSON.parse((await view.next()).text)).toHaveProperty("points");
  });

  it("has the clients with most requests or denials once, with what is certain of them", async () => {
    const { clients } = JSON.parse((await newView().next()).text);
    expect(clients).toEqual([
      { client: "a", allowed: 2, denied: 9, lately: 0.8, policies: ["site", "login"] },
      { client: "b", allowed: 4, denied: 0, lately: 0, policies: ["site"] },
    ]);
  });
});
