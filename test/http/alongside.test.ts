import { Hono } from "hono";
import { etag } from "hono/etag";
import { describe, expect, it, vi } from "vitest";
import { useStoppedClock } from "../stopped-clock.ts";
import { alongsideApp } from "./alongside-app.ts";

useStoppedClock();

/** Makes an app whose isolate does not know yet that another isolate has spent the key's quota. */
function spentApp(...policies: Parameters<typeof alongsideApp>) {
  const made = alongsideApp(...policies);
  const elsewhere = alongsideApp(...policies);
  // Both count at the same owners.
  elsewhere.owners.getByName = made.owners.getByName.bind(made.owners);
  elsewhere.app.use(elsewhere.limiter).all("*", (c) => c.text("spent"));
  const spend = async () => {
    made.owners.isNear = true;
    await elsewhere.send();
    made.owners.isNear = false;
  };
  return { ...made, spend };
}

describe("a handler alongside its check", () => {
  it("starts at once, and its answer is held until the verdict", async () => {
    const { app, limiter, owners, send } = alongsideApp({ limit: 2 });
    const ended = Promise.withResolvers<void>();
    app.use(limiter).get("*", (c) => {
      ended.resolve();
      return c.text("answer", 200, { "X-Own": "1" });
    });
    const sent = send();
    await ended.promise;
    expect(await Promise.race([sent, scheduler.wait(20)])).toBeUndefined();
    await owners.answer();
    const response = await sent;
    expect(await response.text()).toBe("answer");
    expect(response.headers.get("X-Own")).toBe("1");
    expect(response.headers.get("RateLimit")).toMatch(/r=1;/);
  });

  it("has no decision before `next()` is over, and has it then", async () => {
    const { app, limiter, owners, send } = alongsideApp();
    const seen: unknown[] = [];
    app.use(async (c, next) => {
      await next();
      seen.push(c.var.decision?.remaining);
    });
    app.use(limiter).get("*", (c) => {
      seen.push(c.var.decision);
      return c.text("");
    });
    const sent = send();
    await owners.answer();
    await sent;
    expect(seen).toEqual([undefined, 0]);
  });

  it("throws as it does without a limiter, if the verdict allows it", async () => {
    const { app, limiter, owners, send } = alongsideApp();
    app.onError((error, c) => c.text(error.message, 500));
    app.use(limiter).get("*", () => {
      throw new Error("mine");
    });
    const sent = send();
    await owners.answer();
    const response = await sent;
    expect([response.status, await response.text()]).toEqual([500, "mine"]);
    expect(response.headers.has("RateLimit")).toBe(true);
  });

  it("is counted once by a policy that is mounted twice", async () => {
    const { app, limiter, owners, send } = alongsideApp({ limit: 5 });
    app.use(limiter, limiter).get("*", (c) => c.text(""));
    const sent = send();
    await owners.answer();
    expect((await sent).headers.get("RateLimit")).toMatch(/^"default";r=4;t=\d+$/);
    expect(owners.calls).toHaveLength(1);
  });
});

describe("a denied handler", () => {
  it("leaves nothing in the refusal, and its stream is cancelled", async () => {
    const { app, limiter, owners, send, spend } = spentApp();
    await spend();
    const cancelled = vi.fn();
    app.use(async (c, next) => {
      c.header("X-Front", "1");
      await next();
    });
    app.use(limiter);
    app.use(async (c, next) => {
      c.header("Set-Cookie", "early=1");
      await next();
      c.res.headers.set("X-Behind", "1");
    });
    app.get("*", () => {
      const body = new ReadableStream({ cancel: cancelled });
      return new Response(body, { status: 201, headers: { "Set-Cookie": "late=1" } });
    });
    const sent = send();
    await owners.answer();
    const response = await sent;
    expect(response.status).toBe(429);
    expect([...response.headers.keys()].sort()).toEqual([
      "cache-control",
      "content-type",
      "ratelimit",
      "ratelimit-policy",
      "retry-after",
      "vary",
      "x-front",
    ]);
    expect((await response.json()) as object).toMatchObject({ status: 429 });
    expect(cancelled).toHaveBeenCalledOnce();
  });

  it("is told by the signal of its request, and what it throws then goes nowhere", async () => {
    const { app, limiter, owners, send, spend } = spentApp();
    await spend();
    const heard = vi.fn();
    app.onError((_, c) => c.text("error", 500));
    app.use(limiter).get("*", async (c) => {
      const { signal } = c.req.raw;
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason)),
      );
      heard();
      return c.text("never");
    });
    const sent = send();
    await owners.answer();
    expect((await sent).status).toBe(429);
    expect(heard).not.toHaveBeenCalled();
  });

  it("has its WebSocket closed", async () => {
    const { app, limiter, owners, send, spend } = spentApp();
    await spend();
    const closed = Promise.withResolvers<number>();
    app.use(limiter).get("*", () => {
      const { 0: client, 1: server } = new WebSocketPair();
      server.accept();
      server.addEventListener("close", ({ code }) => closed.resolve(code));
      return new Response(null, { status: 101, webSocket: client });
    });
    const sent = send();
    await owners.answer();
    const response = await sent;
    expect([response.status, response.webSocket]).toEqual([429, null]);
    expect(await closed.promise).toBe(1013);
  });

  it("cannot change the refusal if it goes on, not even behind a middleware that takes time", async () => {
    const { app, limiter, owners, send, spend } = spentApp();
    await spend();
    const front = Promise.withResolvers<void>();
    const changed = Promise.withResolvers<void>();
    app.onError((_, c) => c.text("handler's error", 500));
    app.use(async (c, next) => {
      await next();
      c.res.headers.set("X-Front", "1");
      front.resolve();
      await changed.promise;
    });
    app.use(etag(), limiter);
    app.use(async (c, next) => {
      await next();
      c.header("Set-Cookie", "late=1");
      c.res.headers.set("X-Behind", "1");
      changed.resolve();
    });
    app.get("*", async () => {
      await front.promise;
      await scheduler.wait(5);
      throw new Error("ignores its signal");
    });
    const sent = send();
    await owners.answer();
    const response = await sent;
    expect(response.status).toBe(429);
    expect(await response.text()).toContain("quota-exceeded");
    expect(response.headers.has("Set-Cookie")).toBe(false);
    expect(response.headers.has("X-Behind")).toBe(false);
    expect(response.headers.get("X-Front")).toBe("1");
  });

  it("is refused by the policy's own refusal, made without its headers", async () => {
    const refusal = (c: import("hono").Context) => c.text("slow down", 429);
    const { app, limiter, owners, send, spend } = spentApp({ refusal });
    await spend();
    app.use(limiter).get("*", (c) => {
      c.header("Set-Cookie", "early=1");
      c.status(201);
      return c.text("answer");
    });
    const sent = send();
    await owners.answer();
    const response = await sent;
    expect([response.status, await response.text()]).toEqual([429, "slow down"]);
    expect(response.headers.has("Set-Cookie")).toBe(false);
  });
});

describe("a handler waits for its verdict", () => {
  async function isStarted(
    policy: Parameters<typeof alongsideApp>[0],
    init: RequestInit,
  ): Promise<boolean> {
    const { app, limiter, owners, send } = alongsideApp({ limit: 5, ...policy });
    const handler = vi.fn((c: import("hono").Context) => c.text(""));
    app.use(limiter).all("*", handler);
    const sent = send("/", init);
    await scheduler.wait(5);
    const { length } = handler.mock.calls;
    await owners.answer();
    expect((await sent).status).toBe(200);
    return length > 0;
  }

  const override = { headers: { "X-HTTP-Method-Override": "DELETE" } };
  const some = { alongside: ["GET", "POST"] };

  it.each([
    [{}, {}, true],
    [{}, { method: "HEAD" }, true],
    [{}, { method: "POST" }, false],
    [{}, { method: "OPTIONS" }, false],
    [{}, override, false],
    [{ mode: some }, { method: "POST", body: "x" }, true],
    [{ mode: some }, { method: "HEAD" }, true],
    [{ mode: some }, { method: "PUT" }, false],
    [{ mode: some }, override, false],
    [{ mode: "before" as const }, {}, false],
  ])("under %j, asked by %j: %j", async (policy, init, started) => {
    expect(await isStarted(policy, init)).toBe(started);
  });

  it("if another of its policies says so", async () => {
    const { app, limiter, owners, send } = alongsideApp({}, { name: "strict", mode: "before" });
    const handler = vi.fn((c: import("hono").Context) => c.text(""));
    app.use(limiter).get("*", handler);
    const sent = send();
    await scheduler.wait(5);
    expect(handler).not.toHaveBeenCalled();
    await owners.answer();
    expect((await sent).status).toBe(200);
  });
});

describe("an attacker in one isolate", () => {
  async function started(
    policy: Parameters<typeof alongsideApp>[0],
    attack: (send: () => Promise<Response>) => Promise<void>,
  ) {
    const { app, limiter, owners, send } = alongsideApp({ limit: 5, window: "1m", ...policy });
    owners.isNear = true;
    let handlers = 0;
    let passed = 0;
    app.use(limiter).get("*", (c) => {
      handlers++;
      return c.text("");
    });
    await attack(async () => {
      const response = await send();
      if (response.status === 200) passed++;
      return response;
    });
    return { handlers, passed };
  }

  it("starts at most one denied handler in a window, one request after the other", async () => {
    const { handlers, passed } = await started({}, async (send) => {
      for (let window = 0; window < 3; window++) {
        for (let request = 0; request < 20; request++) await send();
        vi.setSystemTime(Date.now() + 60_000);
      }
    });
    expect(passed).toBe(15);
    expect(handlers - passed).toBeLessThanOrEqual(3);
  });

  it("starts at most one where the quota refills all the time", async () => {
    const { handlers, passed } = await started({ algorithm: "token-bucket" }, async (send) => {
      for (let second = 0; second < 120; second++) {
        await send();
        await send();
        vi.setSystemTime(Date.now() + 1_000);
      }
    });
    expect(passed).toBeGreaterThan(10);
    expect(handlers - passed).toBeLessThanOrEqual(2);
  });

  it("starts at most one with 50 requests in parallel", async () => {
    const { handlers, passed } = await started({}, async (send) => {
      await Promise.all(Array.from({ length: 50 }, send));
    });
    expect(passed).toBe(5);
    expect(handlers - passed).toBeLessThanOrEqual(1);
  });
});

describe("a request that is counted later", () => {
  it("does not wait for its owner, and is told of its quota", async () => {
    const { app, limiter, send } = alongsideApp({ limit: 5, mode: "after" });
    app.use(limiter).all("*", (c) => c.json(c.var.decision));
    for (const left of [4, 3]) {
      const response = await send("/", { method: "POST" });
      expect(await response.json()).toMatchObject({ source: "local", exact: false });
      expect(response.headers.get("RateLimit")).toMatch(new RegExp(`^"default";r=${left};t=`));
    }
  });

  it("waits, or runs alongside, as another of its policies says", async () => {
    const { app, limiter, owners, send } = alongsideApp(
      { limit: 5, mode: "after" },
      { name: "strict", limit: 5 },
    );
    const handler = vi.fn((c: import("hono").Context) => c.json(c.var.decision));
    app.use(limiter).all("*", handler);
    for (const [method, started, ip] of [
      ["POST", 0, "192.0.2.2"],
      ["GET", 1, "192.0.2.3"],
    ] as const) {
      const { length } = handler.mock.calls;
      const sent = send("/", { method, headers: { "CF-Connecting-IP": ip } });
      await scheduler.wait(5);
      expect(handler.mock.calls.length - length).toBe(started);
      await owners.answer();
      expect((await sent).headers.get("RateLimit")).toMatch(/^"strict";r=4;.*"default";r=4;/);
    }
  });

  it("is refused without a call where a denial is known, and no other policy counts it", async () => {
    const { app, limiter, owners, send } = alongsideApp(
      { limit: 1, mode: "after" },
      { name: "strict", limit: 5 },
    );
    const handler = vi.fn((c: import("hono").Context) => c.text(""));
    app.use(limiter).all("*", handler);
    owners.isNear = true;
    expect((await send()).status).toBe(200);
    expect((await send()).status).toBe(429);
    const calls = owners.calls.length;
    const refused = await send();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("RateLimit")).toMatch(/"strict";r=4;.*"default";r=0;/);
    expect(owners.calls).toHaveLength(calls);
    expect(handler).toHaveBeenCalledOnce();
  });
});

it("runs in an app of the type that Hono gives it", () => {
  expect(new Hono().use(alongsideApp().limiter)).toBeDefined();
});
