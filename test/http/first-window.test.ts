/**
 * Windows that begin with a key's first request: what the peers promise of theirs, asked of
 * Turnpike by itself and of hono-rate-limiter with Turnpike as its store.
 */
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Hono, type MiddlewareHandler } from "hono";
import { rateLimiter, type Store } from "hono-rate-limiter";
import { describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { counterPolicy } from "../../src/caller/message.ts";
import type { Question } from "../../src/caller/question.ts";
import { limiter, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { askObject } from "../owner/ask-object.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { answer, post } from "./api-client.ts";

const now = useStoppedClock({ fromMs: Date.UTC(2036, 10, 22, 12, 0, 21) });

function behind(middleware: MiddlewareHandler) {
  const app = new Hono();
  app.use(middleware);
  app.get("*", (c) => c.text("Hi there!"));
  return async (ip = "192.0.2.1") => {
    const headers = { "CF-Connecting-IP": ip };
    const pending: Promise<unknown>[] = [];
    const context = { waitUntil: (task: Promise<unknown>) => pending.push(task) };
    const request = new Request("https://site.example/", { headers });
    const response = await app.fetch(request, {}, context as unknown as ExecutionContext);
    await Promise.all(pending);
    return response;
  };
}

function limited(options: Partial<RateLimitOptions> = {}) {
  const name = crypto.randomUUID();
  return behind(rateLimit({ name, limit: 2, window: "1m", start: "first", ...options }));
}

/** One huge limit, so that what is spent is the count of hits. */
const HITS = 1_000_000_000;

/** What hono-rate-limiter asks of a store, in Turnpike's words. */
function turnpikeStore(name: string): Store {
  const hits = limiter({ name, limit: HITS, window: "1m", start: "first" });
  return {
    increment: async (key) => {
      const { remaining, resetMs } = await hits.check(key);
      return { totalHits: HITS - remaining, resetTime: new Date(Date.now() + resetMs) };
    },
    get: async (key) => {
      const { remaining, resetMs } = await hits.peek(key);
      return { totalHits: HITS - remaining, resetTime: new Date(Date.now() + resetMs) };
    },
    decrement: async (key) => void (await hits.refund(key)),
    resetKey: (key) => hits.reset(key),
  };
}

describe("a policy that starts with the first request", () => {
  it("tells a whole window at the first request, less at the next, and gives all back at once", async () => {
    const send = limited();
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=1;t=60$/);
    vi.setSystemTime(now() + 45_000);
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=0;t=15$/);
    const denied = await send();
    expect(denied.status).toBe(429);
    expect(denied.headers.get("Retry-After")).toBe("15");
    vi.setSystemTime(now() + 59_999);
    expect((await send()).status).toBe(429);
    vi.setSystemTime(now() + 60_000);
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=1;t=60$/);
  });

  it("begins a window for each client", async () => {
    const send = limited();
    await send("192.0.2.1");
    vi.setSystemTime(now() + 30_000);
    expect((await send("192.0.2.2")).headers.get("RateLimit")).toMatch(/;t=60$/);
    expect((await send("192.0.2.1")).headers.get("RateLimit")).toMatch(/;t=30$/);
  });

  it("begins with the first request that is charged", async () => {
    const send = limited({ charge: "failure", name: "failures-from-the-first" });
    await send();
    vi.setSystemTime(now() + 50_000);
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=1;t=60$/);
  });

  it("is an option of the library and the API, and no other algorithm's", async () => {
    const logins = limiter({ name: "logins-first", limit: 5, window: "15m", start: "first" });
    expect((await logins.check("ada")).resetMs).toBe(900_000);
    expect(await logins.explain("ada")).toMatchObject({
      policies: [{ algorithm: "fixed-window", state: expect.stringContaining("ends in 15 min") }],
    });
    const inline = { key: crypto.randomUUID(), limit: 5, window: "15m", start: "first" };
    expect(await answer(post("/check", inline))).toMatchObject({ allowed: true, resetMs: 900_000 });
    expect(await answer(post("/check", { ...inline, algorithm: "sliding-log" }))).toMatchObject({
      detail: 'start must be left out unless the algorithm is "fixed-window", got "first"',
      field: "start",
    });
  });

  it("keeps its window over an eviction", async () => {
    const owner = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
    const policy = parsePolicy({ limit: 10, window: "1d", start: "first", cost: 7 });
    const asked = [{ key: { hi: 1, lo: 2 }, policies: [counterPolicy(policy)] }];
    await askObject(owner, "check", asked);
    await scheduler.wait(700);
    await evictDurableObject(owner);
    vi.setSystemTime(now() + 86_399_999);
    const { verdicts } = await askObject(owner, "check", asked);
    expect(verdicts).toMatchObject([[{ allowed: false, remaining: 3, retryAfterMs: 1 }]]);
  });

  it("may be leased: exactly the limit passes in each window, whenever it begins", async () => {
    const options = { ownersPerRegion: 1, homeRegion: "weur", hashSecret: "secret" } as const;
    const owners = new FakeOwners();
    const callers = [1, 2].map(() => new Caller({ ...options, owners, runtime: WORKERS }));
    const policy = parsePolicy({ limit: 100, window: "1m", lease: 0.1, start: "first" });
    const question: Question = { key: ["hot"], policies: [policy], region: "weur" };
    for (const laterMs of [0, 60_000, 150_000]) {
      vi.setSystemTime(now() + laterMs);
      let passed = 0;
      for (let n = 0; n < 300; n++) {
        const [reply] = (await callers[n % 2]?.check([question])) ?? [];
        if (reply?.decisions[0]?.allowed) passed++;
      }
      expect(passed).toBe(100);
    }
  });
});

describe("hono-rate-limiter over Turnpike", () => {
  function server(options: Partial<Parameters<typeof rateLimiter>[0]> = {}) {
    const store = turnpikeStore(crypto.randomUUID());
    const keyGenerator = () => "a client";
    const send = behind(
      rateLimiter({ keyGenerator, windowMs: 60_000, limit: 5, store, ...options }),
    );
    return { send, store };
  }

  it("resets 60 s after the first hit, in the fields of draft 6 and 7", async () => {
    const six = (await server({ standardHeaders: true }).send()).headers;
    expect(six.get("ratelimit-policy")).toBe("5;w=60");
    expect(six.get("ratelimit-limit")).toBe("5");
    expect(six.get("ratelimit-remaining")).toBe("4");
    expect(six.get("ratelimit-reset")).toBe("60");
    const seven = (await server({ standardHeaders: "draft-7" }).send()).headers;
    expect(seven.get("ratelimit")).toBe("limit=5, remaining=4, reset=60");
  });

  it("says Retry-After: 60 once the limit is reached", async () => {
    const { send } = server({ limit: 1 });
    expect((await send()).status).toBe(200);
    const denied = await send();
    expect(denied.status).toBe(429);
    expect(denied.headers.get("retry-after")).toBe("60");
  });

  it("refreshes when the window of the client is over, and not before", async () => {
    const { send } = server({ limit: 2 });
    for (const atMs of [0, 20_000]) {
      vi.setSystemTime(now() + atMs);
      expect((await send()).status).toBe(200);
    }
    vi.setSystemTime(now() + 59_999);
    expect((await send()).status).toBe(429);
    vi.setSystemTime(now() + 60_000);
    expect((await send()).status).toBe(200);
  });

  it("counts hits from 1, takes them back, and forgets a key", async () => {
    const { store } = server();
    expect(await store.increment("a")).toEqual({
      totalHits: 1,
      resetTime: new Date(now() + 60_000),
    });
    vi.setSystemTime(now() + 10_000);
    expect(await store.increment("a")).toEqual({
      totalHits: 2,
      resetTime: new Date(now() + 60_000),
    });
    expect(await store.get?.("a")).toMatchObject({ totalHits: 2 });
    await store.decrement("a");
    expect(await store.increment("a")).toMatchObject({ totalHits: 2 });
    await store.resetKey("a");
    expect(await store.increment("a")).toEqual({
      totalHits: 1,
      resetTime: new Date(now() + 70_000),
    });
  });
});
