/** A client whose types `openapi-typescript` makes from the document calls every route. */
import createClient from "openapi-fetch";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import document from "../../src/http/api/openapi.json" with { type: "json" };
import { CACHE, LIBRARY, startApp } from "../app-server.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import type { paths } from "./api.d.ts";
import { PROXY, requireDocumented } from "./proxy.ts";

const POLICIES = [{ name: "day", limit: 10, window: "1d" }];

let server: WorkerdServer;
let baseUrl: string;
let client: ReturnType<typeof createClient<paths>>;
const called = new Set<string>();

beforeAll(async () => {
  const vars = {
    ...{ TOKEN: "secret-1", POLICIES: JSON.stringify(POLICIES) },
    QUOTA_ORIGINS: '["https://app.example.com"]',
  };
  server = await startGate(vars, ALL_OBJECTS);
  baseUrl = PROXY || `${server.url}_turnpike/v1`;
  client = createClient<paths>({
    baseUrl,
    headers: { Authorization: "Bearer secret-1" },
  });
  client.use({
    onRequest: ({ request, schemaPath }) => {
      called.add(`${request.method.toLowerCase()} ${schemaPath}`);
    },
    onResponse: ({ response }) => requireDocumented(response),
  });
});
afterAll(() => server.stop());

describe("a client made from the document", () => {
  const key = crypto.randomUUID();
  const body = { key, policy: "day" };

  it("checks, peeks and refunds", async () => {
    const checked = await client.POST("/check", { body: { ...body, cost: 3 } });
    expect(checked.data).toMatchObject({ allowed: true, remaining: 7 });
    const peeked = await client.POST("/peek", { body: { checks: [body] } });
    expect(peeked.data).toMatchObject({ decisions: [{ remaining: 7 }] });
    const refunded = await client.POST("/refund", { body });
    expect(refunded.data).toMatchObject({ remaining: 8 });
  });

  it("reserves, settles and releases", async () => {
    const reserved = await client.POST("/reserve", { body: { ...body, amount: 4, ttl: "5m" } });
    expect(reserved.data).toMatchObject({ allowed: true, remaining: 4 });
    const hold = reserved.data?.hold ?? "";
    const settled = await client.POST("/settle", { body: { ...body, hold, amount: 0 } });
    expect(settled.data).toMatchObject({ was: "live", remaining: 8 });
    const released = await client.POST("/release", { body: { ...body, hold } });
    expect(released.data).toMatchObject({ was: "settled", remaining: 8 });
  });

  it("explains, resets, blocks and unblocks", async () => {
    const { data } = await client.POST("/explain", { body });
    expect(data).toMatchObject({ blockedMs: 0, policies: [{ policy: "day", remaining: 8 }] });
    expect((await client.POST("/reset", { body })).response.status).toBe(204);
    const block = { ip: "192.0.2.7", duration: "1m" };
    expect((await client.POST("/block", { body: block })).response.status).toBe(204);
    const unblocked = await client.POST("/unblock", { body: { ip: block.ip } });
    expect(unblocked.response.status).toBe(204);
  });

  it("gives a key another limit", async () => {
    const override = { ...body, limit: "unlimited" as const, duration: "1d" };
    expect((await client.PUT("/overrides", { body: override })).response.status).toBe(204);
    const params = { query: { key: [key], policy: "day" } };
    const { data } = await client.GET("/overrides", { params });
    expect(data).toMatchObject({ policy: "day", limit: "unlimited" });
    expect((await client.DELETE("/overrides", { params })).response.status).toBe(204);
    expect((await client.GET("/overrides", { params })).response.status).toBe(404);
  });

  it("shows the ring and changes it", async () => {
    const { data } = await client.GET("/ring");
    const home = data?.regions.find(({ region }) => region === "weur");
    expect(home).toMatchObject({ version: 1, settling: false });
    const added = await client.POST("/ring/owners", { body: { region: "weur" } });
    expect(added.data?.regions[0]?.version).toBe(2);
    // Another change may still be under way; both are answers of the document.
    const path = { name: "weur/4" };
    const removed = await client.DELETE("/ring/owners/{name}", { params: { path } });
    expect([202, 409]).toContain(removed.response.status);
  });

  it("changes the policies, and goes back to those of the deployment", async () => {
    const before = await client.GET("/policies");
    expect(before.data).toMatchObject({ source: "deployment", version: 0 });
    const put = await client.PUT("/policies", {
      params: { header: { "If-Match": before.response.headers.get("ETag") ?? "" } },
      body: { policies: [{ name: "day", limit: 20, window: "1d" }], by: "kim" },
    });
    expect(put.data).toMatchObject({ source: "live", version: 1, by: "kim" });
    const params = { header: { "If-Match": '"1"' } };
    const gone = await client.DELETE("/policies", { params });
    expect(gone.data).toMatchObject({ source: "deployment", version: 2 });
    expect(gone.data?.policies).toEqual(before.data?.policies);
    expect((await client.DELETE("/policies", { params })).response.status).toBe(412);
    const { data } = await client.GET("/policies/history");
    expect(data?.versions.map(({ version }) => version)).toEqual([2, 1]);
    expect(data?.deployed).toEqual(before.data?.policies);
  });

  it("counts events and reads them", async () => {
    const event = { name: "api", dimensions: { customer: "c-17" }, amount: 2 };
    const counted = await client.POST("/events", { body: { events: [event, { name: "api" }] } });
    expect(counted.response.status).toBe(202);
    const query = { name: "api", by: "customer" };
    const top = () => client.GET("/events/top", { params: { query } });
    const total = async () => (await top()).data?.total;
    await expect.poll(total, { timeout: 60_000 }).toBe(3);
    expect((await top()).data?.entries).toMatchObject([{ count: 2, error: 0 }]);
    const filter = { name: "api", filter: ["customer:c-17"], last: "5m" };
    const series = await client.GET("/events/series", { params: { query: filter } });
    expect(series.data?.points.reduce((sum, { count }) => sum + count, 0)).toBe(2);
    const one = { name: "api", dimension: "customer" };
    const distinct = await client.GET("/events/distinct", { params: { query: one } });
    expect(distinct.data).toEqual({ count: 1, error: 0, exact: true });
  });

  it("purges the cache of an app", async () => {
    const app = await startApp(
      'app.route("/_turnpike/v1/cache", cacheApi());',
      { vars: { TOKEN: "secret-1", DEADLINE: "10s" }, hasCache: true },
      `import { Cache, cacheApi } from ${CACHE};
       export { Cache };
       export { Membership, RateLimiter } from ${LIBRARY};`,
    );
    try {
      const ofApp = createClient<paths>({
        baseUrl: `${app.url}_turnpike/v1`,
        headers: { Authorization: "Bearer secret-1" },
      });
      const { response } = await ofApp.POST("/cache/purge", { body: { tag: "search" } });
      expect(response.status).toBe(204);
      await requireDocumented(response);
    } finally {
      await app.stop();
    }
    // The gateway keeps nothing.
    const { response } = await client.POST("/cache/purge", { body: { tag: "search" } });
    expect(response.status).toBe(404);
  });

  it("tells a browser what it has left", async () => {
    const open = createClient<paths>({ baseUrl });
    const { data } = await open.GET("/quota", { params: { query: { policy: "day" } } });
    expect(data?.quotas).toMatchObject([{ policy: "day", windowMs: 86_400_000, exact: true }]);
    await client.GET("/quota");
  });

  it("gets the document without a token", async () => {
    const open = createClient<paths>({ baseUrl });
    expect((await open.GET("/openapi.json")).data).toEqual(document);
    await client.GET("/openapi.json");
  });

  it("is told what was wrong", async () => {
    const { error, response } = await client.POST("/check", { body: { ...body, cost: 11 } });
    expect(response.status).toBe(400);
    expect(error).toMatchObject({ field: "cost", status: 400 });
  });

  it("has called every route", () => {
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect([...called].sort()).toEqual(routes.sort());
  });
});

describe("another method than a call takes", () => {
  it.each([
    ["GET", "check", "POST"],
    ["DELETE", "block", "POST"],
    ["PATCH", "unblock", "POST"],
    ["PUT", "ring", "GET, HEAD"],
    ["POST", "overrides", "GET, HEAD, PUT, DELETE"],
    ["POST", "policies", "GET, HEAD, PUT, DELETE"],
    ["PUT", "policies/history", "GET, HEAD"],
    ["GET", "ring/owners", "POST"],
    ["GET", "ring/owners/weur%2F3", "DELETE"],
    ["POST", "openapi.json", "GET, HEAD"],
  ])("is answered with 405: %s %s", async (method, path, allow) => {
    const response = await fetch(`${server.url}_turnpike/v1/${path}`, {
      method,
      headers: { Authorization: "Bearer secret-1" },
    });
    expect(response.status).toBe(405);
    expect(response.headers.get("Allow")).toBe(allow);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  });
});
