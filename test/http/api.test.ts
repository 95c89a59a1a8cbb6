import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api.ts";
import { FakeOwners } from "../caller/fake-owners.ts";

const DAY = [
  { name: "day", limit: 10, window: "1d" },
  { name: "hour", limit: 5, window: "1h" },
];
const config = parseConfig({ TOKEN: "secret-1", POLICIES: DAY });
const caller = new Caller({ owners: env.RATE_LIMITER, ...config });
const app = api(caller, config);

const fresh = () => crypto.randomUUID();

function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return app.request(path, {
    method: "POST",
    headers: { Authorization: "Bearer secret-1", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function answer<Body = Record<string, unknown>>(response: Response | Promise<Response>) {
  return (await (await response).json()) as Body;
}

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

  it("takes a policy written into the call, and counts all of its window together", async () => {
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
});

describe("who may call it", () => {
  it("is nobody where no token is set", async () => {
    const closed = api(caller, parseConfig({}));
    for (const token of ["", "undefined", "secret-1"]) {
      const response = await closed.request("/check", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ key: "k", limit: 1, window: "1s" }),
      });
      expect(response.status).toBe(404);
    }
  });

  it.each([
    "Bearer wrong",
    "Bearer secret-12",
    "Bearer ",
    "Basic c2VjcmV0LTE=",
    "secret-1",
    "Bearer a b",
  ])("is not who says %j", async (authorization) => {
    const key = fresh();
    const response = await post("/check", { key, policy: "day" }, { Authorization: authorization });
    expect(response.status).toBe(401);
    expect(response.headers.get("WWW-Authenticate")).toMatch(/^Bearer/);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
  });
});

describe("what it refuses", () => {
  const key = fresh();
  const refusals: [string, unknown, string, string][] = [
    ["no JSON", "{", "", 'input must be JSON, got "{"'],
    ["nothing", "", "", 'input must be JSON, got ""'],
    ["no object", [], "", "input must be an object, got []"],
    ["null", null, "", "input must be an object, got null"],
    ["no key", { policy: "day" }, "key", "key is required, got nothing"],
    ["an empty key", { key: "", policy: "day" }, "key", 'key must not be empty, got ""'],
    ["a key that is no text", { key: 5, policy: "day" }, "key", "key must be text, got 5"],
    [
      "a key over 1 KB",
      { key: "x".repeat(1_025), policy: "day" },
      "key",
      `key must be at most 1024 bytes, got "${"x".repeat(79)}…`,
    ],
    [
      "cost 0",
      { key, policy: "day", cost: 0 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got 0",
    ],
    [
      "cost -1",
      { key, policy: "day", cost: -1 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got -1",
    ],
    [
      "cost 1.5",
      { key, policy: "day", cost: 1.5 },
      "cost",
      "cost must be a whole number from 1 to 1000000000, got 1.5",
    ],
    [
      "a cost over the limit",
      { key, policy: "day", cost: 11 },
      "cost",
      'cost must be at most 10, the limit of "day", got 11',
    ],
    [
      "an unknown policy",
      { key, policy: "week" },
      "policy",
      'policy must be one of "day", "hour", got "week"',
    ],
    [
      "an unknown field",
      { key, policy: "day", prize: 1 },
      "prize",
      "prize is no field that is known here, got 1",
    ],
    [
      "no policy",
      { key },
      "policy",
      'policy must name a policy, or "limit" and "window" must be given, got nothing',
    ],
    ["a limit without window", { key, limit: 5 }, "window", "window is required, got nothing"],
    [
      "a bad limit",
      { key, limit: -1, window: "1s" },
      "limit",
      "limit must be a whole number from 1 to 1000000000, got -1",
    ],
    [
      "both kinds of policy",
      { key, policy: "day", limit: 5 },
      "limit",
      'limit must be left out where "policy" names one, got 5',
    ],
    [
      "one policy twice",
      { key, policies: [{ policy: "day" }, { policy: "day" }] },
      "policies[1]",
      'policies[1] must differ from those before it, got "day"',
    ],
    [
      "no policies",
      { key, policies: [] },
      "policies",
      "policies must be a list of 1 to 16 policies, got []",
    ],
    [
      "policies beside a policy",
      { key, policy: "day", policies: [{ policy: "day" }] },
      "policies",
      'policies must be left out, or hold what stands beside it, got [{"policy":"day"}]',
    ],
    ["no checks", { checks: [] }, "checks", "checks must be a list of 1 to 1000 checks, got []"],
    [
      "too many checks",
      { checks: Array(1_001).fill({ key: "k", policy: "day" }) },
      "checks",
      "checks must be a list of 1 to 1000 checks, got",
    ],
    [
      "one bad check among good ones",
      {
        checks: [
          { key, policy: "day" },
          { key, policy: "day", cost: 0 },
        ],
      },
      "checks[1].cost",
      "checks[1].cost must be a whole number from 1 to 1000000000, got 0",
    ],
    [
      "one cost too high among good ones",
      {
        checks: [
          { key, policy: "day" },
          { key, policy: "day", cost: 99 },
        ],
      },
      "checks[1].cost",
      'checks[1].cost must be at most 10, the limit of "day", got 99',
    ],
  ];

  it.each(refusals)("is %s", async (_, body, field, detail) => {
    for (const path of ["/check", "/peek", "/reset"]) {
      const response = await post(path, body);
      expect(response.status).toBe(400);
      expect(response.headers.get("Content-Type")).toBe("application/problem+json");
      const problem = await answer<{ field: string; detail: string }>(response);
      expect(problem.field).toBe(field);
      expect(problem.detail.startsWith(detail), problem.detail).toBe(true);
    }
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
  });

  it("is a body over 64 KB", async () => {
    const response = await post("/check", { key, policy: "day", pad: "x".repeat(65_536) });
    expect(response.status).toBe(413);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  });

  it("is any other path or method", async () => {
    expect((await post("/cheque", {})).status).toBe(404);
    const headers = { Authorization: "Bearer secret-1" };
    expect((await app.request("/check", { headers })).status).toBe(404);
  });
});

describe("when owners fail", () => {
  const owners = new FakeOwners();
  const failing = api(new Caller({ owners, ...config }), config);
  const call = (path: string) =>
    failing.request(path, {
      method: "POST",
      headers: { Authorization: "Bearer secret-1" },
      body: JSON.stringify({ key: "k", policy: "day" }),
    });

  it("says that a decision is not exact, and that a reset did not happen", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const checked = await call("/check");
    expect(checked.status).toBe(200);
    expect(await checked.json()).toMatchObject({ source: "fallback", exact: false });
    const reset = await call("/reset");
    expect(reset.status).toBe(503);
    expect(reset.headers.get("Retry-After")).toBe("1");
  });
});
