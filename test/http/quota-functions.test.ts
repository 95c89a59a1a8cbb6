/** Limits and windows that a function gives for each request, and limits of none. */
import { Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { limiter, type RateLimitEnv, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { answer, post } from "./api-client.ts";

const now = useStoppedClock();

function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono<RateLimitEnv>();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 2,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.get("*", (c) => c.json({ decision: c.var.decision ?? null }));
  const send = (plan = "", query = "") =>
    app.request(`https://site.example/${query}`, {
      headers: { "CF-Connecting-IP": "192.0.2.1", "X-Plan": plan },
    });
  return { send };
}

describe("overrides", () => {
  it("give a client another limit, as its fields and decision say", async () => {
    const { send } = appWith({ name: "all", overrides: [{ key: "192.0.2.0/24", limit: 5 }] });
    const response = await send();
    expect(response.headers.get("RateLimit-Policy")).toBe('"all";q=5;w=3600');
    expect(await response.json()).toMatchObject({ decision: { limit: 5, remaining: 4 } });
  });

  it("are refused beside a function, which can say the same", () => {
    const overrides = [{ key: "user-1", limit: 5 }];
    expect(() => appWith({ overrides, limit: () => 5 })).toThrow("overrides must be left out");
  });

  it("hold in a limiter, too", async () => {
    const overrides = [{ key: "user-1", limit: 5 }];
    const calls = limiter({ name: crypto.randomUUID(), limit: 2, window: "1h", overrides });
    expect(await calls.check("user-1", { cost: 4 })).toMatchObject({ limit: 5, remaining: 1 });
    expect(await calls.check("user-2")).toMatchObject({ limit: 2, remaining: 1 });
  });
});

describe("a limit function that gives Infinity", () => {
  it("leaves the request uncounted, without a field and without a decision", async () => {
    const limits = { free: 1, staff: Number.POSITIVE_INFINITY };
    const { send } = appWith({
      limit: (c) => limits[c.req.header("X-Plan") as keyof typeof limits],
    });
    for (let n = 0; n < 5; n++) {
      const response = await send("staff");
      expect(response.status).toBe(200);
      expect(response.headers.get("RateLimit")).toBeNull();
      expect(response.headers.get("RateLimit-Policy")).toBeNull();
      expect(await response.json()).toEqual({ decision: null });
    }
    expect((await send("free")).headers.get("RateLimit")).toMatch(/;r=0;/);
    expect((await send("free")).status).toBe(429);
    expect((await send("staff")).status).toBe(200);
  });

  it("leaves the other policies of the request in force", async () => {
    const { send } = appWith(
      { name: "plan-of-two", limit: () => Number.POSITIVE_INFINITY },
      { name: "site-of-two", limit: 2 },
    );
    expect((await send()).headers.get("RateLimit-Policy")).toBe('"site-of-two";q=2;w=3600');
    await send();
    expect((await send()).status).toBe(429);
  });

  it("asks for neither its cost, its window nor its key", async () => {
    const unused = vi.fn(() => "1m");
    const { send } = appWith({
      limit: () => Number.POSITIVE_INFINITY,
      key: unused,
      window: unused,
      cost: () => Number(unused()),
    });
    expect((await send()).status).toBe(200);
    expect(unused).not.toHaveBeenCalled();
  });

  it.each([Number.NEGATIVE_INFINITY, Number.NaN, -1, 1.5, 1e10])(
    "is the operator's mistake if it gives %d",
    async (limit) => {
      const { send } = appWith({ limit: () => limit });
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      expect((await send()).status).toBe(500);
      expect(log).toHaveBeenCalledExactlyOnceWith(
        expect.stringMatching(
          /"limit-function-failed".*limit must be a whole number from 0 to 1000000000, got /,
        ),
      );
    },
  );
});

describe("a limit of 0", () => {
  it.each(Object.keys(ALGORITHMS) as AlgorithmName[])(
    "lets nothing pass and says when to ask again — %s",
    async (algorithm) => {
      const { send } = appWith({ name: `none-${algorithm}`, limit: 0, window: "1m", algorithm });
      for (let n = 0; n < 3; n++) {
        const response = await send();
        expect(response.status).toBe(429);
        expect(response.headers.get("RateLimit")).toBe(`"none-${algorithm}";r=0;t=60`);
        expect(response.headers.get("RateLimit-Policy")).toContain(`"none-${algorithm}";q=0;`);
        expect(response.headers.get("Retry-After")).toBe("60");
        expect(await response.json()).toMatchObject({
          detail: "No such request passes for now. Try again in 1 min.",
        });
      }
    },
  );

  it("denies whatever the cost, and spends nothing of other policies", async () => {
    const { send } = appWith(
      { limit: (c) => Number(c.req.header("X-Plan")), cost: () => 3 },
      { name: "beside-none", limit: 2 },
    );
    for (let n = 0; n < 3; n++) expect((await send("0")).status).toBe(429);
    expect((await send("9")).headers.get("RateLimit")).toMatch(/"beside-none";r=1;/);
  });

  it("is not waited for, and passes in shadow", async () => {
    const waits = vi.spyOn(scheduler, "wait");
    const { send } = appWith({ limit: 0, window: "1s", maxWait: "30s" });
    expect((await send()).status).toBe(429);
    expect(waits.mock.calls.every(([ms]) => ms !== 1_000)).toBe(true);
    const { send: sendInShadow } = appWith({ limit: 0, shadow: true });
    const response = await sendInShadow();
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ decision: { reason: "shadow", remaining: 0 } });
  });

  it("is a denial for the library and the API, too", async () => {
    const none = limiter({
      name: "none-at-all",
      limit: 0,
      window: "1m",
      algorithm: "token-bucket",
    });
    expect(await none.check("key", { cost: 5 })).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterMs: 60_000,
      reason: "limited",
      exact: true,
    });
    const decision = await answer(post("/check", { key: "k", limit: 0, window: "60s", cost: 7 }));
    expect(decision).toMatchObject({ allowed: false, limit: 0, remaining: 0, source: "owner" });
  });
});

describe("a window function", () => {
  it("gives a duration or milliseconds, and each length has counters of its own", async () => {
    const { send } = appWith({
      name: "given-window",
      limit: 1,
      window: async (c) => (c.req.header("X-Plan") === "long" ? "1h" : 60_000),
    });
    const short = await send("short");
    expect(short.headers.get("RateLimit-Policy")).toBe('"given-window";q=1;w=60');
    expect(short.headers.get("RateLimit")).toBe('"given-window";r=0;t=60');
    expect((await send("short")).status).toBe(429);
    const long = await send("long");
    expect(long.headers.get("RateLimit")).toBe('"given-window";r=0;t=3600');
    vi.setSystemTime(now() + 60_000);
    expect((await send("short")).status).toBe(200);
    expect((await send("long")).status).toBe(429);
  });

  it("goes with a limit and a burst that its window can count", async () => {
    const { send } = appWith({
      limit: () => 1_000_000,
      window: (c) => `${c.req.header("X-Plan")}`,
      algorithm: "sliding-window",
    });
    expect((await send("1m")).status).toBe(200);
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await send("366d")).status).toBe(500);
    expect(String(log.mock.calls)).toContain("limit must be at most 71209 with this algorithm");
  });

  it.each([
    [0, /window in milliseconds must be a whole number from 1000 to 31622400000, got 0"/],
    [999, /got 999"/],
    [1_000.5, /got 1000\.5"/],
    [31_622_400_001, /got 31622400001"/],
    ["0s", /got \\"0s\\""/],
    ["367d", /got \\"367d\\""/],
    ["what a client wrote", /or milliseconds, got a string"/],
    [undefined, /got nothing"/],
    [Number.NaN, /got NaN"/],
  ])("is the operator's mistake if it gives %s", async (given, message) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { send } = appWith({ window: () => given as string });
    const response = await send();
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("window");
    expect(String(log.mock.calls)).toMatch(message);
  });
});
