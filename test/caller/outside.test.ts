/**
 * What an app's module gets if it is imported outside a Worker. `testing/kit.test.ts` shows the
 * rest.
 */
import { Hono } from "hono";
import { expect, it } from "vitest";
import * as outsideCache from "../../src/cache/outside.ts";
import * as cacheEntry from "../../src/cache.ts";
import * as outsideEvents from "../../src/events/outside.ts";
import * as eventsEntry from "../../src/events.ts";
import * as library from "../../src/index.ts";
import * as outside from "../../src/outside.ts";

// Callers see the types of the Worker's entry points.
const { cache, cached, cacheApi } = outsideCache satisfies Omit<typeof cacheEntry, "Cache">;
const { events } = outsideEvents satisfies Pick<typeof eventsEntry, "events">;

it("has the library's names", () => {
  expect(Object.keys(outside).sort()).toEqual(Object.keys(library).sort());
  expect(Object.keys(outsideCache).sort()).toEqual(Object.keys(cacheEntry).sort());
  // The deployed Worker alone uses `ownEvents`.
  const { ownEvents, ...publicNames } = eventsEntry;
  expect(Object.keys(outsideEvents).sort()).toEqual(Object.keys(publicNames).sort());
});

it("says where objects live", () => {
  const { RateLimiter, Membership, Turnpike } = outside;
  const { Cache } = outsideCache;
  for (const Class of [RateLimiter, Membership, Turnpike, Cache, outsideEvents.Events]) {
    expect(() => new Class()).toThrow("turnpike's objects live in a Cloudflare Worker only");
  }
});

it("passes on to the handler that `cached()` stands before", async () => {
  const app = new Hono().get("/", cached({ ttl: "5s" }), (c) => c.text("Hello"));
  expect(await (await app.request("/")).text()).toBe("Hello");
  expect(() => cached({ ttl: "soon" })).toThrow("ttl must be a duration");
});

it("computes a value each time, and checks what it would keep", async () => {
  const rates = (compute: () => unknown) => cache().getOrCompute("rates", { ttl: "5s" }, compute);
  expect(await rates(() => 1)).toBe(1);
  expect(await rates(() => 2)).toBe(2);
  const broken = () => Promise.reject(new Error("broken"));
  await expect(rates(broken)).rejects.toThrow("broken");
  await expect(cache().getOrCompute("", { ttl: "5s" }, () => 1)).rejects.toThrow("key must have");
});

it("mounts an API without calls", async () => {
  const app = new Hono().route("/cache", cacheApi());
  expect((await app.request("/cache/purge", { method: "POST" })).status).toBe(404);
});

it("checks an event, and counts nothing", () => {
  events().count("api", { customer: "c-17" });
  expect(() => events().count("no name")).toThrow("name must be a letter");
});

it("says what only a Worker purges and reads", async () => {
  for (const purge of [cache().purge, cache().purgeUrl, cache().purgeTag]) {
    await expect(purge("/")).rejects.toThrow(
      "turnpike/cache purges in a Cloudflare Worker only: run wrangler dev",
    );
  }
  for (const read of [events().top, events().series, events().distinct]) {
    await expect(read()).rejects.toThrow(
      "turnpike/events reads in a Cloudflare Worker only: run wrangler dev",
    );
  }
});

it("says in an Express app whose middleware it is", async () => {
  const limit = outside.rateLimit({ limit: 1, window: "1m" });
  // Express calls it with its own request and response.
  const called = limit({ url: "/", headers: {} } as never, (() => {}) as never);
  await expect(called).rejects.toThrow("a middleware for Hono");
});
