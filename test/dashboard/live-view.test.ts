/** What one view of the live page reads for all streams of an isolate. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LiveView, type Shown } from "../../src/dashboard/live-view.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { type Runtime, runOn } from "../../src/runtime.ts";
import { FakeTime } from "../fake-runtime.ts";

const policies = [parsePolicy({ name: "site", limit: 1, window: "1m" })];

const LATELY = [
  { dimensions: { client: "a", policy: "site", outcome: "denied" }, count: 4, error: 0 },
];

let time: FakeTime;
let real: Runtime;
let reads: number;
let rings: number;
let fails: boolean;
/** How long a reading takes. */
let readMs: number;

beforeEach(() => {
  [reads, rings, fails, readMs] = [0, 0, false, 0];
  time = new FakeTime();
  time.nowMs = 1_700_000_000_000;
  real = runOn(time.runtime);
});
afterEach(() => {
  runOn(real);
  vi.restoreAllMocks();
});

function newView(range: "10m" | "24h" = "10m"): LiveView {
  return new LiveView({
    range,
    config: { policies, highWater: 400 },
    reader: {
      top: async (_name, _by, _n, { last } = {}) => {
        // What was decided lately is read beside it.
        if (last) reads++;
        if (readMs > 0) await time.wait(readMs);
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

/** A page that shows one moment after the other: when it got each, and when that was read. */
function open(view: LiveView) {
  const got: { gotMs: number; readMs: number; isRead: boolean }[] = [];
  const page = { isOpen: true, got };
  const show = async (before?: Shown): Promise<void> => {
    const { text, shown } = await view.next(before);
    if (!page.isOpen) return;
    got.push({ gotMs: time.nowMs, readMs: shown.atMs, isRead: text !== undefined });
    return show(shown);
  };
  void show();
  return page;
}

async function parsed(view: LiveView) {
  return JSON.parse((await view.next()).text ?? "");
}

describe("a view of the live page", () => {
  it("is read once a second for all who look, and the rings every five", async () => {
    const view = newView();
    readMs = 120;
    const pages = [open(view)];
    for (const laterMs of [130, 270, 310, 90]) {
      await time.pass(laterMs);
      pages.push(open(view));
    }
    await time.pass(10_000);
    expect(reads).toBe(11);
    expect(rings).toBe(3);
    for (const { got } of pages) {
      expect(got.length).toBeGreaterThanOrEqual(10);
      // Nobody waits longer than the one who reads, but for the time between two looks.
      for (const { gotMs, readMs: atMs } of got.slice(1)) expect(gotMs - atMs).toBeLessThan(180);
    }
  });

  it("tells all who look that it can't be read, and goes on once it can", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const view = newView();
    const pages = [open(view), open(view), open(view)];
    await time.pass(500);
    fails = true;
    await time.pass(1_000);
    fails = false;
    await time.pass(1_000);
    for (const { got } of pages) {
      expect(got.map(({ isRead }) => isRead)).toEqual([true, false, true]);
    }
    expect(warn).toHaveBeenCalledOnce();
  });

  it("goes on with another who looks, where the one who read has gone", async () => {
    const view = newView();
    const pages = [open(view), open(view)];
    await time.pass(900);
    // The next reading ends with its request, so it has no end.
    readMs = Number.POSITIVE_INFINITY;
    await time.pass(200);
    readMs = 0;
    await time.pass(5_000);
    const counts = pages.map(({ got }) => got.length);
    expect(Math.min(...counts)).toBe(1);
    expect(Math.max(...counts)).toBeGreaterThanOrEqual(4);
  });

  it("shows nothing old to who comes after a while in which nobody looked", async () => {
    const view = newView();
    const { shown } = await view.next();
    await time.pass(3_600_000);
    expect((await view.next()).shown.atMs).toBe(shown.atMs + 3_600_000);
  });

  it("reads a chart of a day less often than its clients, and sends it only if it is new", async () => {
    const view = newView("24h");
    let before: Shown | undefined;
    let charts = 0;
    for (let second = 0; second < 60; second++) {
      const { text, shown } = await time.until(view.next(before));
      const said = JSON.parse(text ?? "");
      expect(said.clients[0].client).toBe("a");
      expect("points" in said).toBe(shown.chartMs !== before?.chartMs);
      if ("points" in said) charts++;
      before = shown;
    }
    expect([charts, reads]).toEqual([5, 5]);
    expect(await parsed(view)).toHaveProperty("points");
  });

  it("has the clients with most requests or denials once, with what is certain of them", async () => {
    const { clients } = await parsed(newView());
    expect(clients).toEqual([
      { client: "a", allowed: 2, denied: 9, lately: 0.8, policies: ["site", "login"] },
      { client: "b", allowed: 4, denied: 0, lately: 0, policies: ["site"] },
    ]);
  });
});
