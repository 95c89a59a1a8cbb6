/** The cache behind a limit, in one app: each request counts, few reach the handler. */
import { Hono } from "hono";
import { expect, it } from "vitest";
import { cachedIn } from "../../../src/cache/http/cached.ts";
import { rateLimit } from "../../../src/index.ts";
import { statusOf } from "./cached-app.ts";
import { MemoryStore } from "./memory-store.ts";

it("counts hits and misses alike, and lets a refusal neither be stored nor served from the store", async () => {
  const store = new MemoryStore();
  let searches = 0;
  const app = new Hono();
  app.get(
    "/search",
    rateLimit({ name: crypto.randomUUID(), limit: 3, window: "1h" }),
    cachedIn(() => store, { ttl: "1m" }),
    (c) => c.json({ results: ++searches }),
  );
  const search = (address: string) =>
    app.request("https://site.example/search?q=zug", {
      headers: { "CF-Connecting-IP": address },
    });
  const own: Response[] = [];
  for (let at = 0; at < 5; at++) own.push(await search("192.0.2.1"));
  expect(own.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429]);
  expect(own.map((each) => statusOf(each).hit === true)).toEqual([false, true, true, false, false]);
  const remaining = own.slice(0, 3).map(({ headers }) => headers.get("RateLimit"));
  expect(remaining.map((field) => /r=(\d)/.exec(field ?? "")?.[1])).toEqual(["2", "1", "0"]);
  // Another client gets the stored response, and the fields of its own quota.
  const other = await search("192.0.2.2");
  expect(await other.json()).toEqual({ results: 1 });
  expect(other.headers.get("RateLimit")).toMatch(/r=2/);
  expect(searches).toBe(1);
});

it("tells nobody what another client has left, if the limit is behind the cache", async () => {
  const store = new MemoryStore();
  const app = new Hono();
  app.get(
    "/search",
    cachedIn(() => store, { ttl: "1m" }),
    rateLimit({ name: crypto.randomUUID(), limit: 3, window: "1h" }),
    (c) => c.text("found", 200, { "X-RateLimit-Remaining": "7" }),
  );
  const search = () => app.request("https://site.example/search?q=bahn");
  expect((await search()).headers.get("RateLimit")).toMatch(/r=2/);
  const hit = await search();
  expect(statusOf(hit).hit).toBe(true);
  const names = [...hit.headers.keys()].filter((name) => name.includes("ratelimit"));
  expect([await hit.text(), names]).toEqual(["found", []]);
});
