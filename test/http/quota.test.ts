/** What a browser is told of its own quota, from the deployed Worker. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const POLICIES = [
  { name: "day", limit: 100, window: "1d" },
  { name: "search", path: "/search", method: ["POST"], limit: 5, window: "1d" },
  { name: "key", path: "/keyed", key: ["header:X-Api-Key"], limit: 7, window: "1d" },
  { name: "trial", limit: 1, window: "1d", shadow: true },
];
const APP = "https://app.example.com";
const TOKEN = "token-of-the-quota-test";
let server: WorkerdServer;
let clients = 0;
let ip: string;

beforeAll(async () => {
  server = await startGate({
    POLICIES: JSON.stringify(POLICIES),
    TOKEN,
    QUOTA_ORIGINS: JSON.stringify([APP]),
    DENY: '["203.0.113.66"]',
    ALLOW: '["203.0.113.77"]',
  });
});
afterAll(() => server.stop());

function send(path: string, init: RequestInit & { headers?: Record<string, string> } = {}) {
  const headers = { "CF-Connecting-IP": ip, ...init.headers };
  return fetch(new URL(path, server.url), { ...init, headers });
}

interface Quotas {
  quotas: { policy: string; remaining: number }[];
}

/** What is left, by policy. */
async function left(query = "", headers: Record<string, string> = {}) {
  const response = await send(`/_turnpike/v1/quota${query}`, { headers });
  expect(response.status).toBe(200);
  const { quotas } = (await response.json()) as Quotas;
  return Object.fromEntries(quotas.map(({ policy, remaining }) => [policy, remaining]));
}

const fresh = () => {
  ip = `192.0.2.${++clients}`;
};

describe("the quota of a browser", () => {
  it("is what its requests have left, and asking spends nothing", async () => {
    fresh();
    for (let n = 0; n < 27; n++) await send("/");
    for (let n = 0; n < 5; n++) expect(await left()).toEqual({ day: 73 });
    const response = await send("/_turnpike/v1/quota");
    expect(await response.json()).toEqual({
      quotas: [
        {
          ...{ policy: "day", limit: 100, windowMs: 86_400_000, remaining: 73 },
          ...{ resetMs: expect.any(Number), exact: true },
        },
      ],
    });
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect((await send("/")).headers.get("RateLimit")).toMatch(/"day";r=72;/);
  });

  it("is that of the request it asks about, or of one policy", async () => {
    fresh();
    await send("/search", { method: "POST" });
    expect(await left("?path=/search")).toEqual({ day: 99 });
    expect(await left("?path=/search&method=POST")).toEqual({ day: 99, search: 4 });
    expect(await left("?path=/search&method=POST&policy=search")).toEqual({ search: 4 });
    expect(await left("?policy=search")).toEqual({});
    // As jQuery and others write it, against caches.
    expect(await left("?path=/search&method=POST&policy=search&_=1795802400000")).toEqual({
      search: 4,
    });
  });

  it("is nothing while an operator blocks it", async () => {
    fresh();
    const headers = { Authorization: `Bearer ${TOKEN}` };
    const body = JSON.stringify({ ip, duration: "1h" });
    const blocked = await send("/_turnpike/v1/block", { method: "POST", headers, body });
    expect(blocked.status).toBe(204);
    expect(await left()).toEqual({ day: 0 });
  });

  it("is never that of others: an address and a credential are read from the request only", async () => {
    fresh();
    await send("/keyed", { headers: { "X-Api-Key": "one" } });
    expect(await left("?path=/keyed&policy=key", { "X-Api-Key": "one" })).toEqual({ key: 6 });
    expect(await left("?path=/keyed&policy=key", { "X-Api-Key": "two" })).toEqual({ key: 7 });
    fresh();
    expect(await left()).toEqual({ day: 100 });
    await send("/");
    expect(await left("?ip=192.0.2.200&key=two", { "X-Forwarded-For": "192.0.2.200" })).toEqual({
      day: 99,
    });
  });

  it("can be asked for twice a second at most, on average", async () => {
    fresh();
    let passed = 0;
    let refused = await send("/_turnpike/v1/quota");
    for (; refused.status === 200; passed++) refused = await send("/_turnpike/v1/quota");
    expect(refused.status).toBe(429);
    expect(passed).toBeGreaterThanOrEqual(120);
    // A minute may begin meanwhile.
    expect(passed).toBeLessThanOrEqual(240);
    expect(refused.headers.get("Retry-After")).toMatch(/^\d+$/);
    const opened = await send("/_turnpike/v1/quota", { headers: { Accept: "text/html" } });
    expect(opened.headers.get("Content-Type")).toBe("application/problem+json");
    // The page's other requests still pass.
    expect((await send("/")).status).toBe(200);
  });

  it("is empty for an address that is never limited, and refused to one that always is", async () => {
    ip = "203.0.113.77";
    expect(await left()).toEqual({});
    ip = "203.0.113.66";
    const refused = await send("/_turnpike/v1/quota", { headers: { Accept: "text/html" } });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("Content-Type")).toBe("application/problem+json");
  });

  it.each([
    ["?path=search", "path"],
    ["?path=", "path"],
    ["?path=/login%2500", "path"],
    ["?method=TRACE", "method"],
    ["?method=GET&method=POST", "method"],
    ["?policy=day&policy=search", "policy"],
    ["?method=a%20b", "method"],
    ["?policy=none", "policy"],
    ["?policy=trial", "policy"],
  ])("needs a request that there can be: %s", async (query, field) => {
    fresh();
    const response = await send(`/_turnpike/v1/quota${query}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ field });
  });

  it("is read by pages of the origins that are named, with their credentials", async () => {
    fresh();
    const headers = { Origin: APP, "Access-Control-Request-Headers": "x-api-key" };
    const preflight = await send("/_turnpike/v1/quota", { method: "OPTIONS", headers });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("Access-Control-Allow-Headers")).toBe("x-api-key");
    const get = (query = "") => send(`/_turnpike/v1/quota${query}`, { headers });
    const answers = [preflight, await get(), await get("?path=x")];
    while (answers.at(-1)?.status !== 429) answers.push(await get());
    expect(answers.at(-1)?.headers.get("Access-Control-Expose-Headers")).toBe("Retry-After");
    for (const response of answers) {
      expect(response.headers.get("Access-Control-Allow-Origin")).toBe(APP);
      expect(response.headers.get("Access-Control-Allow-Credentials")).toBe("true");
      expect(response.headers.get("Vary")).toContain("Origin");
    }
  });

  it.each(["https://evil.example", "https://app.example.com.evil.example", "null"])(
    "is refused to pages of %s",
    async (origin) => {
      fresh();
      for (const method of ["GET", "OPTIONS"]) {
        const response = await send("/_turnpike/v1/quota", { method, headers: { Origin: origin } });
        expect(response.status).toBe(403);
        expect(response.headers.get("Access-Control-Allow-Origin")).toBeNull();
      }
    },
  );

  it("takes no other method", async () => {
    fresh();
    expect((await send("/_turnpike/v1/quota", { method: "POST" })).status).toBe(405);
  });
});

it("the call for the quota does not exist unless an origin is named", async () => {
  const closed = await startGate({ POLICIES: JSON.stringify(POLICIES), TOKEN: "secret-1" });
  try {
    const ask = async (path: string, headers = {}) => {
      const answer = await fetch(new URL(`/_turnpike/v1/${path}`, closed.url), { headers });
      return [answer.status, ((await answer.json()) as { detail: string }).detail];
    };
    const headers = { Authorization: "Bearer secret-1" };
    const needsOrigins = [404, "Without the variable QUOTA_ORIGINS, the API has no such call."];
    expect(await ask("quota")).toEqual(needsOrigins);
    expect(await ask("quota", headers)).toEqual(needsOrigins);
    expect(await ask("nothing", headers)).toEqual([404, "The API has no such call."]);
  } finally {
    await closed.stop();
  }
});
