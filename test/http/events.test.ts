import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config.ts";
import { EVER, SECOND } from "../../src/events/level.ts";
import { events } from "../../src/events.ts";
import { api } from "../../src/http/api/api.ts";
import { caller } from "./api-client.ts";

const config = parseConfig({ TOKEN: "secret-1 check:counts" });
const app = api(caller, config, undefined, (region) => events(env, region && { region }));

async function call(path: string, body?: unknown, token = "secret-1"): Promise<Response> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return app.request(`/${path}`, { headers: { Authorization: `Bearer ${token}` }, ...init });
}

const get = async (path: string) => (await call(path)).json<Record<string, unknown>>();

/** Waits until the owners have counted an amount under a name. */
async function untilCounted(name: string, total: number): Promise<void> {
  for (;;) {
    const top = await events(env).top(name);
    if (top.total >= total) return;
    await scheduler.wait(50);
  }
}

describe("events in a Worker", () => {
  it("counts by the API and reads by each call", async () => {
    const one = { name: "api", dimensions: { customer: "c-17", endpoint: "/search" }, amount: 3 };
    expect((await call("events", one)).status).toBe(202);
    const many = ["c-17", "c-18", "c-19"].map((customer) => ({
      name: "api",
      dimensions: { customer, endpoint: "/list" },
    }));
    expect((await call("events", { events: many }, "counts")).status).toBe(202);
    await untilCounted("api", 6);

    expect(await get("events/top?name=api&by=customer&n=2")).toMatchObject({
      total: 6,
      other: 0,
      entries: [{ dimensions: { customer: "c-17" }, count: 4, error: 0 }, { count: 1 }],
    });
    expect(await get("events/top?name=api")).toMatchObject({ entries: { length: 4 } });
    expect(await get("events/distinct?name=api&dimension=customer")).toEqual({
      count: 3,
      error: 0,
      exact: true,
    });
    const path = "events/series?name=api&filter=customer:c-17&filter=endpoint:/search&last=10m";
    const { points } = (await get(path)) as { points: { count: number }[] };
    expect(points.length).toBeGreaterThanOrEqual(600);
    expect(points.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  });

  it("counts by the library and by the binding alike", async () => {
    events(env).count("jobs", { queue: "mail" }, 2);
    await exports.Turnpike.count("jobs", { queue: "mail" });
    await exports.Turnpike.countMany([{ name: "jobs" }, { name: "jobs", amount: 5 }]);
    await untilCounted("jobs", 9);
    expect(await exports.Turnpike.top("jobs", ["queue"])).toMatchObject({
      total: 9,
      entries: [{ dimensions: { queue: "mail" }, count: 3 }],
    });
    expect((await exports.Turnpike.distinct("jobs", "queue")).count).toBe(1);
    const points = await exports.Turnpike.series("jobs", {}, { last: "1h" });
    expect(points.at(-1)?.count ?? 0).toBeLessThanOrEqual(9);
  });

  it("never shows a smaller sum since the beginning, not even after an eviction or a crash", async () => {
    const owner = () => env.TURNPIKE_EVENTS.getByName("afr/7");
    const count = (number: number) =>
      owner().record({ sender: "isolate", number, counts: ["turnpike.disk", "[]", 5] });
    const bins = { level: EVER.name, fromMs: 0, toMs: EVER.ms };
    const total = async () => {
      const [tally] = await owner().read([{ what: "tally", name: "turnpike.disk", bins }]);
      return Number(tally?.[0]);
    };
    await count(1);
    expect(await total()).toBe(5);
    await abortAllDurableObjects();
    expect(await total()).toBe(5);
    await count(1);
    await count(2);
    expect(await total()).toBe(10);
    await evictDurableObject(owner());
    expect(await total()).toBe(10);
  });

  it("writes within seconds, with an alarm for the end of its retention", async () => {
    events(env, { region: "sam" }).count("written", {}, 7);
    await untilCounted("written", 7);
    const names = await env.TURNPIKE_EVENTS.getByName("weur/directory").owners();
    const name = names.find((each) => each.startsWith("sam/")) ?? "";
    const stub = env.TURNPIKE_EVENTS.getByName(name);
    const rows = () =>
      runInDurableObject(stub, async (_, { storage }) => ({
        // A minute or an hour that ends meanwhile writes a row of its own.
        rows: storage.sql.exec("SELECT * FROM lines WHERE level = ?", SECOND.ms).toArray().length,
        alarm: await storage.getAlarm(),
      }));
    await expect.poll(rows, { timeout: 60_000 }).toMatchObject({ rows: 1 });
    expect((await rows()).alarm).toBeGreaterThan(Date.now() + 399 * 86_400_000);
  });

  it.each([
    ["events", { name: "" }, "name must be a letter"],
    ["events", { name: "turnpike.decisions" }, 'name must not begin with "turnpike."'],
    ["events", { name: "a", dimensions: { "a b": "1" } }, "dimensions.a b must be a letter"],
    ["events", { name: "a", dimensions: { a: "x".repeat(257) } }, "dimensions.a must be text of"],
    [
      "events",
      { name: "a", dimensions: { constructor: "1" } },
      "dimensions must have no dimension",
    ],
    ["events", { name: "a", amount: 0 }, "amount must be a whole number from 1"],
    ["events", { events: [] }, "events must be a list of 1 to 1000 events"],
    ["events", { events: [{ name: 1 }] }, "events[0].name must be"],
    ["events", { name: "a", dimensions: { a: "\ud800" } }, "dimensions.a must be well-formed"],
    ["events", { name: "a", dimensions: [] }, "dimensions must be an object of texts, got []"],
    ["events/top", undefined, "name must be text, got nothing"],
    ["events/top?name=a&name=b", undefined, 'name must be given once, got ["a","b"]'],
    ["events/top?name=a&by=a&by=b", undefined, 'by must be given once, got ["a","b"]'],
    ["events/top?name=a&last=1h&last=2h", undefined, 'last must be given once, got ["1h","2h"]'],
    ["events/series?name=a&filter=b:1&filter=b:2", undefined, "must name each dimension once"],
    ["events/distinct?name=a", undefined, "dimension must be text, got nothing"],
    ["events/top?name=a&n=0", undefined, "n must be a whole number from 1 to 10000"],
    ["events/top?name=a&by=a,b c", undefined, "by[1] must be a letter"],
    ["events/top?name=a&from=noon", undefined, 'or milliseconds since the epoch, got "noon"'],
    ["events/top?name=a&last=2h&step=second", undefined, 'for the step second, got "2h"'],
    ["events/series?name=a&filter=b", undefined, "filter must be a dimension and a value"],
    ["events/series?name=a&last=2y", undefined, "last must be a duration from 1s to 400d"],
    ["events/series?name=a&last=2d&step=minute", undefined, "last must be at most 25h ago"],
    ["events/series?name=a&step=day", undefined, 'step must be "second", "minute" or "hour"'],
    ["events/series?name=a&from=never", undefined, "from must be a time such as"],
    ["events/series?name=a&from=5&last=1h", undefined, 'last must be left out where "from"'],
    ["events/distinct?name=a&dimension=b&color=red", undefined, "color is not one of the fields"],
  ])("refuses a mistake in %s %j", async (path, body, detail) => {
    const answer = await call(path, body);
    expect(answer.status).toBe(400);
    expect((await answer.json<{ detail: string }>()).detail).toContain(detail);
  });

  it("lets a token that only checks count, and not read", async () => {
    expect((await call("events/top?name=api", undefined, "counts")).status).toBe(403);
    expect((await call("events", undefined, "counts")).status).toBe(405);
    expect((await call("events/top", {})).status).toBe(405);
    expect((await call("events", {}, "guessed")).status).toBe(401);
  });
});
