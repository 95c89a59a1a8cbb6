/** Costs that the request estimates and the response tells: reserved before, settled after. */
import { Hono } from "hono";
import { afterEach, describe, expect, it, vi } from "vitest";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { type RateLimitEnv, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

afterEach(() => vi.restoreAllMocks());

const LIMIT = 10_000;
const usage = (total: number) => ({ choices: [], usage: { total_tokens: total } });
const json = (body: unknown, headers = {}) =>
  new Response(JSON.stringify(body), {
    headers: { "Content-Type": "application/json", ...headers },
  });
const events = (...data: unknown[]) =>
  new Response(
    data
      .map((each) => `data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`)
      .join(""),
    { headers: { "Content-Type": "text/event-stream" } },
  );

/** Makes an app under one policy, whose handler gives the answer. `spent` is what it cost. */
function appOf(options: Partial<RateLimitOptions>, answer: () => Response | Promise<Response>) {
  const name = crypto.randomUUID();
  const app = new Hono<RateLimitEnv>();
  const quota = { name, limit: LIMIT, window: "1d" };
  app.use(rateLimit({ cost: 1_000, ...quota, ...options }));
  app.onError(() => new Response("error", { status: 500 }));
  app.all("*", answer);
  const policy = parsePolicy({ ...quota });
  const question = { key: ["192.0.2.1"], policies: [policy], region: "weur" } as const;
  return {
    send: (init: RequestInit = {}) =>
      app.request("https://site.example/", {
        ...init,
        headers: { "CF-Connecting-IP": "192.0.2.1", ...init.headers },
      }),
    async spent() {
      const [reply] = await isolateCaller().peek([question]);
      return LIMIT - (reply?.decisions[0]?.remaining ?? Number.NaN);
    },
    explain: async () => (await isolateCaller().explain([question]))[0]?.policies[0],
  };
}

type App = ReturnType<typeof appOf>;

/** Sends a request, reads all of the response, and waits until nothing is held. */
async function spentBy({ send, spent, explain }: App, init?: RequestInit): Promise<number> {
  await (await send(init)).text();
  await vi.waitFor(async () => expect((await explain())?.holds).toBeUndefined(), 5_000);
  return spent();
}

describe("the actual cost", () => {
  it.each<[string, Partial<RateLimitOptions>, () => Response, number]>([
    ["a header", { actual: "header:X-Cost" }, () => json({}, { "X-Cost": "17" }), 17],
    [
      "a handler that runs alongside",
      { actual: "header:X-Cost", mode: "alongside" },
      () => json({}, { "X-Cost": "17" }),
      17,
    ],
    ["JSON", { actual: "json:usage.total_tokens" }, () => json(usage(42)), 42],
    ["JSON, nothing", { actual: "json:usage.total_tokens" }, () => json(usage(0)), 0],
    ["bytes", { actual: "bytes" }, () => new Response("ü".repeat(600)), 1_200],
    ["no bytes", { actual: "bytes" }, () => new Response(null, { status: 204 }), 0],
    ["a function", { actual: (c) => c.res.status / 2 }, () => new Response("text"), 100],
    [
      "more than was reserved",
      { actual: "header:X-Cost" },
      () => json({}, { "X-Cost": "9999" }),
      9_999,
    ],
    [
      "the last event that has it",
      { actual: "json:usage.total_tokens" },
      () => events(usage(3), usage(55), { usage: null }, "[DONE]"),
      55,
    ],
  ])("is told by %s", async (_, options, answer, cost) => {
    expect(await spentBy(appOf(options, answer))).toBe(cost);
  });

  it.each<[string, Partial<RateLimitOptions>, () => Response]>([
    ["no header", { actual: "header:X-Cost" }, () => json({})],
    ["a negative one", { actual: "header:X-Cost" }, () => json({}, { "X-Cost": "-5" })],
    ["words", { actual: "header:X-Cost" }, () => json({}, { "X-Cost": "many" })],
    ["a fraction", { actual: "header:X-Cost" }, () => json({}, { "X-Cost": "1.5" })],
    ["no such value", { actual: "json:usage.total_tokens" }, () => json({ usage: {} })],
    ["text", { actual: "json:usage.total_tokens" }, () => json({ usage: { total_tokens: "9" } })],
    [
      "broken JSON",
      { actual: "json:a" },
      () => new Response('{"a":1', { headers: { "Content-Type": "application/json" } }),
    ],
    ["an inherited name", { actual: "json:constructor.length" }, () => json({})],
    ["a page", { actual: "json:a" }, () => new Response('{"a":1}')],
    ["more than a megabyte", { actual: "json:a" }, () => json({ b: "x".repeat(1_100_000), a: 5 })],
    [
      "a function that throws",
      {
        actual: () => {
          throw new Error("no");
        },
      },
      () => json({}),
    ],
    ["a function that gives nothing", { actual: () => Number.NaN }, () => json({})],
  ])("is the estimate where there is %s, with one warning", async (_, options, answer) => {
    const log = vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    const app = appOf(options, answer);
    expect(await spentBy(app)).toBe(1_000);
    expect(await spentBy(app)).toBe(2_000);
    const lines = log.mock.calls.filter(([line]) => String(line).includes('"actual-missing"'));
    expect(lines).toHaveLength(1);
  });

  it("is estimated and reserved at once: of 50 parallel requests, only what the estimates allow passes", async () => {
    const app = appOf({ actual: "header:X-Cost" }, () => json({}, { "X-Cost": "700" }));
    const all = await Promise.all(Array.from({ length: 50 }, () => app.send()));
    const passed = all.filter(({ status }) => status === 200).length;
    // Requests that end early leave room for others.
    expect(passed).toBeGreaterThanOrEqual(10);
    expect(passed * 700).toBeLessThanOrEqual(LIMIT + 300);
    await vi.waitFor(async () => expect(await app.spent()).toBe(passed * 700), 5_000);
  });

  it("is nothing for a response that is not charged, and the estimate for one that failed", async () => {
    const failing = () => json(usage(7), { "X-Cost": "7" });
    const options = { actual: "header:X-Cost", charge: [500] };
    expect(await spentBy(appOf(options, failing))).toBe(0);
    const throwing = () => Promise.reject(new Error("handler"));
    expect(await spentBy(appOf({ actual: "header:X-Cost", charge: "success" }, throwing))).toBe(0);
    expect(await spentBy(appOf({ actual: "header:X-Cost", charge: "success" }, failing))).toBe(7);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    expect(await spentBy(appOf({ actual: "header:X-Cost" }, throwing))).toBe(1_000);
  });

  it("is what has been sent when the client leaves", async () => {
    const body = new ReadableStream({
      async pull(to) {
        to.enqueue(new Uint8Array(100));
        await scheduler.wait(10);
      },
    });
    const app = appOf({ actual: "bytes" }, () => new Response(body));
    const leaving = new AbortController();
    const response = await app.send({ signal: leaving.signal });
    const reader = response.body?.getReader();
    for (let chunk = 0; chunk < 3; chunk++) await reader?.read();
    await reader?.cancel();
    await vi.waitFor(async () => expect((await app.explain())?.holds).toBeUndefined(), 5_000);
    expect(await app.spent()).toBeGreaterThanOrEqual(300);
    expect(await app.spent()).toBeLessThan(1_000);
  });

  it("is the estimate if the client leaves before there is a response, whatever is charged", async () => {
    const leaving = new AbortController();
    const app = appOf({ actual: "header:X-Cost", charge: "success" }, () => {
      leaving.abort();
      return Promise.reject(new Error("left"));
    });
    expect(await spentBy(app, { signal: leaving.signal })).toBe(1_000);
  });

  it("is the estimate for a WebSocket, whose bytes are not counted", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { 0: client, 1: server } = new WebSocketPair();
    const app = appOf({ actual: "bytes" }, () => {
      server.accept();
      return new Response(null, { status: 101, webSocket: client });
    });
    const { webSocket } = await app.send({ headers: { Upgrade: "websocket" } });
    webSocket?.accept();
    webSocket?.close();
    await vi.waitFor(async () => expect((await app.explain())?.holds).toBeUndefined(), 5_000);
    expect(await app.spent()).toBe(1_000);
  });

  it("comes from each policy's own place in one response", async () => {
    const names = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
    const [tokens, bytes, requests] = names.map((name) => ({ name, limit: LIMIT, window: "1d" }));
    const app = new Hono();
    app.use(
      rateLimit(
        { ...tokens, cost: 500, actual: "json:usage.total_tokens" } as RateLimitOptions,
        { ...bytes, cost: 500, actual: "bytes", key: () => names[1] } as RateLimitOptions,
        requests as RateLimitOptions,
      ),
    );
    app.get("/", () => json(usage(42)));
    const told = async () => (await app.request("/")).headers.get("RateLimit") ?? "";
    await (await app.request("/")).text();
    const size = JSON.stringify(usage(42)).length;
    await vi.waitFor(async () => {
      const left = Array.from((await told()).matchAll(/r=(\d+)/g), ([, units]) => Number(units));
      expect(left.map((units) => (LIMIT - units) % 500)).toContain(42);
      expect(left.map((units) => (LIMIT - units) % 500)).toContain(size);
    });
  });

  it("leaves a body and its length as they are", async () => {
    const text = JSON.stringify({ b: "ü".repeat(100_000), a: 5 });
    const app = appOf({ actual: "json:a" }, () => {
      const headers = { "Content-Type": "application/json" };
      return new Response(new TextEncoder().encode(text), { headers });
    });
    expect(await (await app.send()).text()).toBe(text);
  });

  it("is told in units, and bytes have a unit of their own", async () => {
    const told = async (options: Partial<RateLimitOptions>) =>
      (await appOf(options, () => json({})).send()).headers.get("RateLimit-Policy");
    expect(await told({ actual: "bytes" })).toMatch(/;q=10000;qu="content-bytes";w=86400$/);
    expect(await told({ actual: "json:a" })).toMatch(/;q=10000;w=86400$/);
  });
});

describe("the estimate in a request's body", () => {
  const options = { cost: "json:max_tokens", actual: "header:X-Cost" } as const;
  const post = (body: string | object, headers = {}) => ({
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers,
  });
  const left = (response: Response) =>
    Number(/;r=(\d+)/.exec(response.headers.get("RateLimit") ?? "")?.[1]);

  it("is reserved, and the handler reads all of the body", async () => {
    const bodies: string[] = [];
    const app = new Hono();
    const name = crypto.randomUUID();
    app.use(rateLimit({ name, limit: LIMIT, window: "1d", ...options }));
    app.post("/", async (c) => {
      bodies.push(await c.req.text());
      return c.text("ok", 200, { "X-Cost": "9" });
    });
    const text = JSON.stringify({ model: "m", messages: ["ü".repeat(50_000)], max_tokens: 2_000 });
    expect(left(await app.request("/", post(text)))).toBe(8_000);
    expect(bodies).toEqual([text]);
  });

  it.each([
    ["none", { model: "m" }],
    ["a negative one", { max_tokens: -1 }],
    ["zero", { max_tokens: 0 }],
    ["a fraction", { max_tokens: 1.5 }],
    ["text", { max_tokens: "5" }],
    ["no object", "[1]"],
    ["no JSON", "max_tokens=5"],
    ["one behind a megabyte", { filler: "x".repeat(1_100_000), max_tokens: 5 }],
  ])("is 1 where there is %s, with a warning", async (_, body) => {
    const log = vi.spyOn(console, "warn").mockImplementation(() => {});
    const app = appOf(options, () => json({}, { "X-Cost": "3" }));
    expect(left(await app.send(post(body)))).toBe(LIMIT - 1);
    expect(String(log.mock.calls[0]?.[0])).toContain('"event":"estimate-missing"');
  });

  it("is 400 if it could never pass", async () => {
    const app = appOf(options, () => json({}));
    const response = await app.send(post({ max_tokens: 20_000 }));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ field: "cost" });
    expect(await app.spent()).toBe(0);
  });

  it("is read from a body that another middleware has read", async () => {
    const app = new Hono();
    app.use(async (c, next) => {
      await c.req.json();
      await next();
    });
    const name = crypto.randomUUID();
    app.use(rateLimit({ name, limit: LIMIT, window: "1d", cost: "json:max_tokens" }));
    app.post("/", (c) => c.text("ok"));
    expect(left(await app.request("/", post({ max_tokens: 2_000 })))).toBe(8_000);
  });
});

describe("a source of costs that does not exist", () => {
  it.each<[object, string]>([
    [{ actual: "usage.total_tokens" }, 'actual must be "bytes", a header such as "header:X-Cost"'],
    [{ actual: "json:" }, 'actual must be "bytes"'],
    [{ actual: "json:a..b" }, 'actual must be "bytes"'],
    [{ actual: "header:" }, 'actual must be "bytes"'],
    [{ actual: "header:a b" }, 'actual must be "bytes"'],
    [{ actual: 5 }, "actual must be text"],
    [{ cost: "max_tokens" }, "cost must be a whole number from 1 on, or a path into JSON such as"],
    [{ cost: "json:$.a[0]" }, "cost must be a whole number from 1 on, or a path"],
    [{ cost: "header:X" }, "cost must be a whole number from 1 on, or a path"],
    [{ actual: "bytes", mode: "after" }, 'mode must be "before" or "alongside" with "actual"'],
    [{ actual: "bytes", lease: 0.1 }, 'lease must be left out beside "actual"'],
    [{ actual: "bytes", algorithm: "concurrency", limit: 5 }, "actual must be left out with this"],
  ])("is refused where it is written: %j", (fields, message) => {
    const policy = { name: crypto.randomUUID(), limit: 10, window: "1d", ...fields };
    expect(() => rateLimit(policy as RateLimitOptions)).toThrow(message);
  });
});
