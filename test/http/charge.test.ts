/** What a request costs, and which responses are charged. */
import { type Context, Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { appWith, statuses } from "./policy-app.ts";

const now = useStoppedClock();

describe("cost and limit", () => {
  it("takes cost and limit from functions of the request", async () => {
    const send = appWith({
      name: "plan",
      limit: (c) => (c.req.header("X-Plan") === "gold" ? 100 : 5),
      cost: (c) => Number(c.req.query("cost") ?? 1),
    });
    const gold = { "X-Plan": "gold" };
    expect((await send({ path: "/?cost=3" })).headers.get("RateLimit")).toMatch(/;r=2;/);
    expect((await send({ path: "/?cost=3" })).status).toBe(429);
    const more = await send({ path: "/?cost=3", headers: gold });
    expect(more.headers.get("RateLimit")).toMatch(/;r=94;/);
    expect(more.headers.get("RateLimit-Policy")).toMatch(/;q=100;/);
  });

  it("denies all requests until the window ends, if a plan's limit is 0", async () => {
    const free = (c: Context) => c.req.header("X-Plan") !== "gold";
    const limit = (c: Context) => (free(c) ? 0 : 100);
    for (const algorithm of Object.keys(ALGORITHMS) as AlgorithmName[]) {
      const name = `plan-${algorithm}`;
      const send = appWith({ name, algorithm, limit, cost: () => 1 });
      const { status, headers } = await send();
      expect(status, algorithm).toBe(429);
      expect(Number(headers.get("Retry-After"))).toBeGreaterThan(0);
      expect(Number(headers.get("Retry-After"))).toBeLessThanOrEqual(3_600);
      expect(headers.get("RateLimit")).toMatch(/;r=0;/);
      expect((await send({ headers: { "X-Plan": "gold" } })).status, algorithm).toBe(200);
      expect((await send()).status, algorithm).toBe(429);
    }
  });

  it("answers 400 to a request that costs more than could ever pass", async () => {
    const send = appWith({ name: "costly", limit: 5, cost: () => 6 });
    const { status, body } = await send();
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({
      detail: 'cost must be at most 5, the most that "costly" lets pass at once, got 6',
      field: "cost",
    });
  });

  it("checks the cost against the limit that a request has", async () => {
    const send = appWith({ limit: () => 12, cost: 5 });
    // Seven units are one such request.
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=1;/);
    const poor = await appWith({ name: "poor", limit: () => 3, cost: 5 })();
    expect([poor.status, JSON.parse(poor.body)]).toMatchObject([
      400,
      { detail: 'cost must be at most 3, the most that "poor" lets pass at once, got 5' },
    ]);
    const bucket = { window: "1h", algorithm: "token-bucket", burst: 4, limit: () => 9 } as const;
    expect(() => rateLimit({ ...bucket, cost: 5 })).toThrow("cost must be at most 4");
    expect(() => rateLimit({ limit: () => 9, window: "1h", cost: 1.5 })).toThrow(
      "cost must be a whole number",
    );
  });

  it.each<["cost" | "limit" | "window", Partial<RateLimitOptions>, string]>([
    ["cost", { cost: () => 0 }, "got 0"],
    ["cost", { cost: () => 1.5 }, "got 1.5"],
    ["cost", { cost: () => Number.NaN }, "got NaN"],
    [
      "cost",
      { cost: () => "5 of mallory's" as unknown as number },
      "cost must be a whole number, got a string",
    ],
    ["cost", { cost: () => Promise.reject(new Error("no database")) }, "no database"],
    ["cost", { limit: () => 9, cost: () => -1 }, "got -1"],
    ["limit", { limit: () => 1.5 }, "got 1.5"],
    ["limit", { limit: () => "100" as unknown as number }, "whole number, got a string"],
    ["window", { window: () => 60 }, "window in milliseconds must be a whole number from 1000"],
    ["window", { window: () => "1 minute" }, "or milliseconds, got a string"],
    [
      "limit",
      { limit: () => undefined as unknown as number },
      "limit must be a whole number, got nothing",
    ],
    ["limit", { algorithm: "sliding-log", limit: () => 10_001 }, "must be at most 10000"],
    [
      "limit",
      {
        limit: () => {
          throw new Error("no database");
        },
      },
      "no database",
    ],
  ] as const)(
    "answers 500 if its %s function fails, and tells the operator alone why",
    async (field, policy, why) => {
      const error = vi.spyOn(console, "error").mockImplementation(() => {});
      const name = crypto.randomUUID();
      const send = appWith({ name, ...policy });
      for (let n = 0; n < 20; n++) {
        const { status, headers, body } = await send();
        expect(status).toBe(500);
        expect(headers.get("Content-Type")).toBe("application/problem+json");
        expect(JSON.parse(body)).toEqual({
          status: 500,
          title: "Internal error",
          detail: "This request could not be counted.",
        });
      }
      expect(error).toHaveBeenCalledTimes(1);
      const event = JSON.parse(error.mock.calls[0]?.[0]);
      expect(event).toMatchObject({ event: `${field}-function-failed`, policy: name, times: 1 });
      expect(event.detail).toContain(why);
      expect(event.detail).not.toContain("mallory");
    },
  );

  it("refuses a cost function if the response decides on the charge", () => {
    expect(() => rateLimit({ limit: 1, window: "1h", charge: "failure", cost: () => 1 })).toThrow(
      'cost must be a number where "charge" looks at the response, got "a function"',
    );
  });
});

describe("charge", () => {
  it("charges only failed responses, as for a login", async () => {
    const send = appWith({ charge: "failure" });
    const fine = Array.from({ length: 5 }, () => ({}));
    expect(await statuses(send, fine)).toEqual([200, 200, 200, 200, 200]);
    const wrong = Array.from({ length: 3 }, () => ({ path: "/fail" }));
    expect(await statuses(send, wrong)).toEqual([401, 401, 429]);
    expect(await statuses(send, [{}])).toEqual([429]);
  });

  it("charges a handler that throws as a failure", async () => {
    const send = appWith({ charge: "failure" });
    expect(await statuses(send, Array(3).fill({ path: "/throw" }))).toEqual([500, 500, 429]);
  });

  it("charges only good responses", async () => {
    const send = appWith({ charge: "success" });
    expect(await statuses(send, Array(4).fill({ path: "/fail" }))).toEqual([401, 401, 401, 401]);
    expect(await statuses(send, [{}, {}, {}])).toEqual([200, 200, 429]);
  });

  it("lets no more attempts pass in parallel than may fail", async () => {
    const send = appWith({ charge: "failure", limit: 5 });
    const all = await Promise.all(Array.from({ length: 40 }, () => send({ path: "/fail" })));
    expect(all.filter(({ status }) => status === 401)).toHaveLength(5);
  });

  it("gives nothing of one window back to the next", async () => {
    const app = new Hono();
    app.use(rateLimit({ name: "seam", limit: 2, window: "1h", charge: "failure" }));
    app.get("/", (c) => {
      // The handler ends in the next window.
      vi.setSystemTime(now() + 3_600_000);
      return c.text("fine");
    });
    app.get("/fail", (c) => c.text("no", 401));
    const get = (path: string) =>
      app.request(path, { headers: { "CF-Connecting-IP": "192.0.2.1" } });
    vi.setSystemTime(now() + 3_599_000);
    await get("/");
    const failed = [await get("/fail"), await get("/fail"), await get("/fail")];
    expect(failed.map(({ status }) => status)).toEqual([401, 401, 429]);
  });
});

describe("charge by what a response says", () => {
  it("charges only the listed statuses", async () => {
    const send = appWith({ charge: [401, 403] });
    const paths = ["/", "/throw", "/fail", "/", "/fail", "/", "/fail"];
    expect(
      await statuses(
        send,
        paths.map((path) => ({ path })),
      ),
    ).toEqual([200, 500, 401, 200, 401, 429, 429]);
  });

  it("charges what a function says of the response", async () => {
    const send = appWith({ charge: async (c) => c.res.status === 401 });
    const paths = ["/", "/", "/", "/fail", "/fail", "/fail"];
    expect(
      await statuses(
        send,
        paths.map((path) => ({ path })),
      ),
    ).toEqual([200, 200, 200, 401, 401, 429]);
  });

  it.each([
    ["throws", () => Promise.reject(new Error("mine"))],
    ["gives no boolean", (() => undefined) as unknown as () => boolean],
  ])("charges the response if its function %s, and logs that once", async (_, charge) => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const send = appWith({ charge });
    expect(await statuses(send, [{}, {}, {}])).toEqual([200, 200, 429]);
    expect(error).toHaveBeenCalledOnce();
    expect(error.mock.calls[0]?.[0]).toContain('"event":"charge-function-failed"');
  });
});
