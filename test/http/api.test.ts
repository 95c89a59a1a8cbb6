import { afterEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { answer, caller, config, fresh, post, send } from "./api-client.ts";

afterEach(() => vi.restoreAllMocks());

describe("the API", () => {
  it("checks a key under a named policy and answers with the whole decision", async () => {
    const response = await post("/check", { key: fresh(), policy: "day", cost: 3 });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      allowed: true,
      policy: "day",
      limit: 10,
      remaining: 7,
      resetMs: expect.any(Number),
      retryAfterMs: 0,
      delayMs: 0,
      reason: "ok",
      source: "owner",
      exact: true,
    });
  });

  it("answers a denial with 200", async () => {
    const key = fresh();
    await post("/check", { key, policy: "day", cost: 10 });
    const response = await post("/check", { key, policy: "day" });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      allowed: false,
      reason: "limited",
      remaining: 0,
    });
  });

  it("takes an inline policy, and counts all inline policies of one window together", async () => {
    const inline = { key: fresh(), limit: 5, window: "1d", algorithm: "fixed-window" };
    expect(await answer(post("/check", inline))).toMatchObject({ limit: 5, remaining: 4 });
    expect(await answer(post("/check", { ...inline, limit: 100 }))).toMatchObject({
      remaining: 98,
    });
    expect(await answer(post("/check", { ...inline, window: "2d" }))).toMatchObject({
      remaining: 4,
    });
  });

  it("peeks without spending", async () => {
    const key = fresh();
    await post("/check", { key, policy: "day", cost: 8 });
    for (let n = 0; n < 2; n++) {
      expect(await answer(post("/peek", { key, policy: "day", cost: 3 }))).toMatchObject({
        allowed: false,
        remaining: 2,
      });
    }
  });

  it("resets a key under one policy only", async () => {
    const key = fresh();
    const policies = [{ policy: "day" }, { policy: "hour" }];
    await post("/check", { key, policies, cost: 4 });
    const response = await post("/reset", { key, policy: "day" });
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
    expect(await answer(post("/peek", { key, policy: "hour" }))).toMatchObject({ remaining: 1 });
  });

  it("decides several policies on one key together, all or none", async () => {
    const key = fresh();
    const both = { key, policies: [{ policy: "day" }, { limit: 3, window: "2h" }] };
    expect(await answer(post("/check", { ...both, cost: 2 }))).toMatchObject({
      allowed: true,
      policy: "fixed-window:2h",
      remaining: 1,
    });
    expect(await answer(post("/check", { ...both, cost: 2 }))).toMatchObject({ allowed: false });
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 8 });
  });

  it("answers many checks in order", async () => {
    const keys = Array.from({ length: 500 }, fresh);
    const checks = keys.map((key, n) => ({ key, policy: "day", cost: 1 + (n % 10) }));
    const { decisions } = await answer<{ decisions: { remaining: number }[] }>(
      post("/check", { checks }),
    );
    expect(decisions.map(({ remaining }) => remaining)).toEqual(
      checks.map(({ cost }) => 10 - cost),
    );
    const one = { key: keys[0], policy: "day" };
    const again = await answer<{ decisions: unknown[] }>(
      post("/check", { checks: Array.from({ length: 12 }, () => one) }),
    );
    expect(again.decisions.map((each) => (each as { allowed: boolean }).allowed)).toEqual([
      ...Array<boolean>(9).fill(true),
      ...Array<boolean>(3).fill(false),
    ]);
    expect((await post("/reset", { checks: [one] })).status).toBe(204);
    expect(await answer(post("/peek", one))).toMatchObject({ remaining: 10 });
  });

  it("refunds, and answers as a peek would then", async () => {
    const key = fresh();
    await post("/check", { key, policy: "day", cost: 5 });
    const refund = { key, policy: "day", cost: 3 };
    expect(await answer(post("/refund", refund))).toMatchObject({ allowed: true, remaining: 8 });
    expect(await answer(post("/refund", refund))).toMatchObject({ allowed: true, remaining: 10 });
  });

  it("refunds what was spent under a limit that is no longer in force", async () => {
    const key = fresh();
    const day = { key, policy: "day" };
    await send("PUT", "/overrides", { ...day, limit: 30 });
    await post("/check", { ...day, cost: 25 });
    await send("DELETE", `/overrides?key=${key}&policy=day`);
    expect(await answer(post("/peek", day))).toMatchObject({ allowed: false, remaining: 0 });
    expect((await post("/refund", { ...day, cost: 25 })).status).toBe(200);
    expect(await answer(post("/peek", day))).toMatchObject({ remaining: 10 });
  });

  it("blocks a key under every policy, and unblocks it", async () => {
    const key = fresh();
    expect((await post("/block", { key, duration: "10m" })).status).toBe(204);
    for (const policy of [
      { policy: "day" },
      { limit: 9, window: "1h", algorithm: "sliding-log" },
    ]) {
      const { retryAfterMs, ...denied } = await answer(post("/check", { key, ...policy }));
      expect(denied).toMatchObject({ allowed: false, reason: "blocked" });
      expect(retryAfterMs).toBeGreaterThan(590_000);
    }
    expect((await post("/unblock", { key })).status).toBe(204);
    expect(await answer(post("/check", { key, policy: "day" }))).toMatchObject({ remaining: 9 });
  });

  it("blocks an address under every policy if one that all requests meet counts by address", async () => {
    const POLICIES = [
      { limit: 10, window: "1d" },
      { name: "each", path: "/each/*", key: ["ip", "path"], limit: 10, window: "1d" },
    ];
    const ask = (change: object, body: object, path = "/block") =>
      api(caller, parseConfig({ TOKEN: "secret-1", POLICIES, ...change })).request(path, {
        method: "POST",
        headers: { Authorization: "Bearer secret-1" },
        body: JSON.stringify(body),
      });
    const ip = "198.51.100.3";
    expect((await ask({}, { ip, duration: "1m" })).status).toBe(204);
    expect((await ask({}, { key: ip, duration: "1m" })).status).toBe(204);
    expect((await ask({}, { ip }, "/unblock")).status).toBe(204);
    for (const [change, detail] of [
      [{ POLICIES: POLICIES.slice(1) }, "ip must be all that a policy's key is made of"],
      [{ ALLOW: ["198.51.100.0/24"] }, "ip must not be in ALLOW"],
    ] as const) {
      const refused = await ask(change, { ip, duration: "1m" });
      expect(refused.status).toBe(400);
      expect(await answer<{ detail: string }>(refused)).toMatchObject({
        field: "ip",
        detail: expect.stringContaining(detail),
      });
    }
    const first = { ...POLICIES[0], allow: [ip] };
    expect((await ask({ POLICIES: [first] }, { ip, duration: "1m" })).status).toBe(400);
    // A policy that some requests do not meet, or that counts them otherwise, does not deny these.
    for (const gap of [{ except: ["/each/a"] }, { method: ["GET"] }, { key: ["bot"] }]) {
      const change = { POLICIES: [{ ...POLICIES[0], ...gap }, POLICIES[1]] };
      const partly = await ask(change, { ip, duration: "1m" });
      expect((await answer<{ unreached: string[] }>(partly)).unreached).toContain("each");
      await ask(change, { ip }, "/unblock");
    }
  });

  it("takes a key of several parts in every call", async () => {
    const key = [fresh(), "GET", ""];
    const body = { key, policy: "day" };
    expect(await answer(post("/check", { ...body, cost: 3 }))).toMatchObject({ remaining: 7 });
    expect(await answer(post("/peek", body))).toMatchObject({ remaining: 7 });
    expect(await answer(post("/refund", body))).toMatchObject({ remaining: 8 });
    expect(await answer(post("/explain", body))).toMatchObject({ policies: [{ remaining: 8 }] });
    expect((await post("/block", { key, duration: "1h" })).status).toBe(204);
    expect(await answer(post("/check", body))).toMatchObject({ reason: "blocked" });
    expect((await post("/unblock", { key })).status).toBe(204);
    expect((await post("/reset", body)).status).toBe(204);
    expect(await answer(post("/peek", body))).toMatchObject({ remaining: 10 });
    expect(await answer(post("/peek", { ...body, key: key.join("") }))).toMatchObject({
      remaining: 10,
    });
  });

  it("gives a key another limit, says which it has, and takes it back", async () => {
    const key = [fresh(), "x"];
    const query = `?key=${key[0]}&key=x&policy=day`;
    const call = (method: string, body?: object) =>
      send(method, `/overrides${method === "PUT" ? "" : query}`, body);
    expect((await call("GET")).status).toBe(404);
    await post("/check", { key, policy: "day", cost: 10 });
    const override = { key, policy: "day", limit: 50_000, duration: "30d" };
    expect((await call("PUT", override)).status).toBe(204);
    expect(await answer(call("GET"))).toEqual({
      policy: "day",
      limit: 50_000,
      leftMs: expect.any(Number),
    });
    expect(await answer(post("/check", { key, policy: "day" }))).toMatchObject({
      allowed: true,
      limit: 50_000,
      remaining: 49_989,
    });
    expect((await call("PUT", { key, policy: "day", limit: "unlimited" })).status).toBe(204);
    const { leftMs } = (await answer(call("GET"))) as { leftMs: number };
    expect(Math.ceil(leftMs / 86_400_000)).toBe(366);
    expect(await answer(post("/explain", { key, policy: "day" }))).toMatchObject({
      policies: [{ limit: 1_000_000_000, override: { limit: "unlimited" } }],
    });
    expect((await call("DELETE")).status).toBe(204);
    expect(await answer(post("/check", { key, policy: "day" }))).toMatchObject({
      allowed: false,
      limit: 10,
    });
    for (const [more, field, rule] of [
      ["&policy=hour", "policy", "must be given once"],
      ["&color=red", "color", ""],
    ] as const) {
      const refused = await answer(send("GET", `/overrides${query}${more}`));
      expect(refused).toMatchObject({ field, detail: expect.stringContaining(rule) });
    }
    for (const [change, field] of [
      [{ limit: 1.5 }, "limit"],
      [{ limit: "many" }, "limit"],
      [{ duration: "367d" }, "duration"],
      [{ policy: undefined }, "policy"],
      [{ policy: "magic" }, "policy"],
      [{ key: undefined }, "key"],
    ] as const) {
      const refused = await call("PUT", { ...override, ...change });
      expect(refused.status).toBe(400);
      expect(await answer(refused)).toMatchObject({ field });
    }
  });

  it("counts a key under the override that its policy has for it", async () => {
    const policy = { name: "own", limit: 10, window: "1d", overrides: [{ key: "big", limit: 50 }] };
    const own = api(caller, parseConfig({ TOKEN: "secret-1", POLICIES: [policy] }));
    const call = (path: string, body: object) =>
      own.request(path, {
        method: path === "/overrides" ? "PUT" : "POST",
        headers: { Authorization: "Bearer secret-1" },
        body: JSON.stringify({ key: "big", policy: "own", ...body }),
      });
    expect(await answer(call("/check", { cost: 20 }))).toMatchObject({ limit: 50, remaining: 30 });
    expect((await call("/overrides", { limit: 60, duration: "1h" })).status).toBe(204);
    expect(await answer(call("/check", {}))).toMatchObject({ limit: 60, remaining: 39 });
  });

  it("explains who holds a key and what is stored", async () => {
    const key = fresh();
    await post("/check", { key, policy: "day", cost: 4 });
    expect(await answer(post("/explain", { key, policy: "day" }))).toEqual({
      summary: "nothing denies it now in weur",
      reason: "ok",
      allowed: true,
      exact: true,
      blockedMs: 0,
      others: [],
      policies: [
        {
          key: [key],
          owner: expect.stringMatching(/^weur\/[0-3]$/),
          ringVersion: 1,
          policy: "day",
          algorithm: "fixed-window",
          limit: 10,
          windowMs: 86_400_000,
          capacity: 10,
          remaining: 6,
          state: expect.stringMatching(/^4 of 10 spent in the window that ends in [\dhmins ]+$/),
          stored: [expect.any(Number), 4],
          nextUnitMs: expect.any(Number),
        },
      ],
    });
  });

  it("takes a burst with a bucket, and a name of its own for a policy in the call", async () => {
    const key = fresh();
    const bucket = { limit: 10, window: "1d", algorithm: "token-bucket", burst: 20, name: "mine" };
    expect(await answer(post("/check", { key, ...bucket, cost: 15 }))).toMatchObject({
      allowed: true,
      policy: "mine",
      limit: 10,
      remaining: 5,
    });
  });

  it("answers for policies of both scopes at once", async () => {
    const key = fresh();
    const policies = [{ policy: "day" }, { limit: 3, window: "2h" }];
    for (let n = 0; n < 3; n++) {
      expect(await answer(post("/check", { key, policies }))).toMatchObject({ allowed: true });
    }
    expect(await answer(post("/check", { key, policies }))).toMatchObject({ allowed: false });
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 7 });
  });
});

describe("the API's token", () => {
  it("is needed in the configuration: without one there are no calls", async () => {
    const closed = api(caller, parseConfig({}));
    for (const token of ["", "undefined", "secret-1"]) {
      const response = await closed.request("/check", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ key: "k", limit: 1, window: "1s" }),
      });
      expect(response.status).toBe(404);
      expect(await answer(response)).toMatchObject({
        detail: "Without the variable TOKEN, the API has no such call.",
      });
    }
  });

  it.each([
    "Bearer wrong",
    "Bearer secret-12",
    "Bearer ",
    "Basic c2VjcmV0LTE=",
    "secret-1",
    "Bearer a b",
  ])("is not accepted as %j", async (authorization) => {
    const key = fresh();
    const response = await post("/check", { key, policy: "day" }, { Authorization: authorization });
    expect(response.status).toBe(401);
    expect(response.headers.get("WWW-Authenticate")).toMatch(/^Bearer/);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
  });
});

describe("when owners fail", () => {
  const owners = new FakeOwners();
  const failing = api(new Caller({ owners, runtime: WORKERS, ...config }), config);
  const call = (path: string) =>
    failing.request(path, {
      method: "POST",
      headers: { Authorization: "Bearer secret-1" },
      body: JSON.stringify({
        key: "k",
        ...(path === "/block" && { duration: "1h" }),
        ...(!path.endsWith("block") && { policy: "day" }),
      }),
    });

  it("says that a decision is not exact, and that a reset did not happen", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const checked = await call("/check");
    expect(checked.status).toBe(200);
    expect(await checked.json()).toMatchObject({ source: "fallback", exact: false });
    for (const path of ["/reset", "/explain", "/block", "/unblock"]) {
      const refused = await call(path);
      expect([path, refused.status]).toEqual([path, 503]);
      expect(refused.headers.get("Retry-After")).toBe("1");
    }
  });
});
