import { type Handler, Hono } from "hono";
import { cors } from "hono/cors";
import { parseItem, parseList } from "structured-headers";
import { describe, expect, it, vi } from "vitest";
import { isolateCaller } from "../../src/caller/isolate.ts";
import { type RateLimitEnv, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { useStoppedClock } from "../stopped-clock.ts";

const now = useStoppedClock({ fromMs: Date.UTC(2036, 10, 22, 12, 0, 18) });

function appWith(options: Partial<RateLimitOptions> = {}) {
  const app = new Hono<RateLimitEnv>();
  app.use(rateLimit({ name: crypto.randomUUID(), limit: 10, window: "1m", ...options }));
  app.all("*", (c) => c.json(c.var.decision ?? null));
  return {
    send: (ip = "203.0.113.7", path = "/", init: RequestInit = {}) => {
      const headers = new Headers({ "CF-Connecting-IP": ip });
      for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
      return app.request(path, { ...init, headers });
    },
  };
}

async function statuses(responses: Iterable<Response | Promise<Response>>): Promise<number[]> {
  return (await Promise.all(responses)).map(({ status }) => status);
}

describe("rateLimit", () => {
  it("lets ten pass with 9 to 0 left, and refuses the eleventh until the window ends", async () => {
    const { send } = appWith();
    for (let left = 9; left >= 0; left--) {
      const response = await send();
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ remaining: left, exact: true });
      expect(response.headers.get("RateLimit")).toMatch(new RegExp(`;r=${left};t=42$`));
    }
    const refused = await send();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("RateLimit")).toMatch(/;r=0;t=42$/);
    expect(refused.headers.get("Retry-After")).toBe("42");
    vi.setSystemTime(now() + 42_000);
    expect((await send()).status).toBe(200);
  });

  it("allows exactly the limit under 90 requests in parallel", async () => {
    const { send } = appWith();
    const all = await statuses(Array.from({ length: 90 }, () => send()));
    expect(all.filter((status) => status === 200)).toHaveLength(10);
    expect(all.filter((status) => status === 429)).toHaveLength(80);
  });

  it("keeps addresses apart, and puts one client's together", async () => {
    const { send } = appWith({ limit: 1 });
    const addresses = ["1.2.3.4", "1.2.3.5", "2001:db8::1", "2001:db8:0:1::1"];
    expect(await statuses(addresses.map((ip) => send(ip)))).toEqual([200, 200, 200, 200]);
    const again = ["::ffff:1.2.3.4", "2001:db8::2"];
    expect(await statuses(again.map((ip) => send(ip)))).toEqual([429, 429]);
  });

  it.each([
    {},
    { charge: "failure" },
    { algorithm: "concurrency" },
    { mode: "alongside" },
  ] as const)("leaves Hono's error where a handler answers nothing, under %j", async (options) => {
    const name = crypto.randomUUID();
    const app = new Hono();
    app.use(rateLimit({ name, limit: 10, window: "1m", ...options }));
    app.get("*", (() => {}) as unknown as Handler);
    app.onError(({ message }, c) => c.text(message, 500));
    const response = await app.request("/", { headers: { "CF-Connecting-IP": "1.2.3.4" } });
    expect([response.status, await response.text()]).toEqual([
      500,
      expect.stringContaining("Context is not finalized"),
    ]);
    const policies = [parsePolicy({ name, limit: 10, window: "1m", ...options })];
    const asked = { key: ["1.2.3.4"], policies, region: "weur" } as const;
    const [left] = await isolateCaller().peek([asked]);
    const isSlot = "algorithm" in options;
    expect(left?.decisions[0]?.remaining).toBe(isSlot ? 10 : 9);
  });

  it("ignores X-Forwarded-For", async () => {
    const { send } = appWith({ limit: 1 });
    const forge = (ip: string) => send("1.2.3.4", "/", { headers: { "X-Forwarded-For": ip } });
    expect((await forge("9.9.9.1")).status).toBe(200);
    expect((await forge("9.9.9.2")).status).toBe(429);
  });

  it("limits a missing or garbled address as one unknown", async () => {
    const { send } = appWith({ limit: 2 });
    expect((await send("garbled")).status).toBe(200);
    expect((await send("")).status).toBe(200);
    expect((await send("1.2.3")).status).toBe(429);
  });

  it("limits only the paths and methods of its policy", async () => {
    const { send } = appWith({ limit: 1, path: "/login/*", method: ["POST"] });
    const post = (path: string) => send("1.2.3.4", path, { method: "POST" });
    expect((await post("/login")).status).toBe(200);
    expect((await post("/login/again")).status).toBe(429);
    const free = await send("1.2.3.4", "/login");
    expect([free.status, free.headers.get("RateLimit")]).toEqual([200, null]);
    expect((await post("/elsewhere")).status).toBe(200);
  });

  it("counts by the key that a function gives", async () => {
    const { send } = appWith({ limit: 1, key: (c) => ["user", c.req.header("X-User") ?? ""] });
    const as = (user: string, ip: string) => send(ip, "/", { headers: { "X-User": user } });
    expect(await statuses([as("ada", "1.1.1.1"), as("bob", "1.1.1.1")])).toEqual([200, 200]);
    expect((await as("ada", "2.2.2.2")).status).toBe(429);
  });

  it("limits as unknown, with a warning, if the key function throws", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { send } = appWith({ limit: 1, key: () => Promise.reject(new Error("no session")) });
    expect((await send("1.1.1.1")).status).toBe(200);
    expect((await send("2.2.2.2")).status).toBe(429);
    expect(JSON.parse(warn.mock.calls[0]?.[0])).toMatchObject({ event: "key-function-failed" });
  });

  it("refuses options that make no policy, where they are written", () => {
    expect(() => rateLimit({ limit: 1.5, window: "1m" })).toThrow("limit must be a whole number");
    expect(() => rateLimit({ limit: 1, window: "1m", path: "login" })).toThrow(
      'path must be a path pattern such as "/login", "/users/:id", "/assets/*" or "*.css", got "login"',
    );
  });

  it("adds its fields to those of a limiter further in", async () => {
    const app = new Hono();
    app.use(rateLimit({ name: "outer", limit: 100, window: "1h" }));
    app.use("/in/*", rateLimit({ name: "inner", limit: 5, window: "1m" }));
    app.get("*", (c) => c.text("in"));
    const { headers } = await app.request("/in/");
    const items = parseList(headers.get("RateLimit") ?? "");
    expect(items.map(([name]) => name)).toEqual(["inner", "outer"]);
  });
});

describe("the fields", () => {
  it("read as structured fields", async () => {
    const { send } = appWith({ name: "fields" });
    const { headers } = await send();
    const [policy] = parseList(headers.get("RateLimit-Policy") ?? "");
    expect(policy).toEqual([
      "fields",
      new Map([
        ["q", 10],
        ["w", 60],
      ]),
    ]);
    const [quota] = parseList(headers.get("RateLimit") ?? "");
    expect(quota).toEqual([
      "fields",
      new Map([
        ["r", 9],
        ["t", 42],
      ]),
    ]);
    expect(() => parseItem(headers.get("RateLimit") ?? "")).not.toThrow();
  });
});

describe("the refusal", () => {
  async function refused(accept?: string, options: Partial<RateLimitOptions> = {}) {
    const { send } = appWith({ limit: 1, ...options });
    const init = accept === undefined ? {} : { headers: { Accept: accept } };
    await send("1.2.3.4", "/", init);
    return send("1.2.3.4", "/", init);
  }

  it("is a problem+json that names the policy", async () => {
    const response = await refused(undefined, { name: "refusal" });
    expect(response.status).toBe(429);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(await response.json()).toEqual({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Too many requests",
      status: 429,
      detail: "The quota is 1 per min. Try again in 42 s.",
      "violated-policies": ["refusal"],
    });
  });

  it.each([
    "*/*",
    "application/json",
    "application/problem+json",
    "image/png",
    "text/html;q=0",
    "text/html;q=0.4, application/json;level=1;q=0.5",
    "application/*, text/html;q=0.9",
    // No browser writes so much.
    `text/html,${"a/b,".repeat(300)}*/*`,
  ])("stays problem+json for Accept: %s", async (accept) => {
    const response = await refused(accept);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  });

  it.each([
    "text/html",
    "TEXT/HTML ; Q=0.2 , application/json;q=0.1",
    "application/json;q=0.5,text/*;level=1",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  ])("is a page for Accept: %s", async (accept) => {
    const response = await refused(accept);
    expect(response.status).toBe(429);
    expect(response.headers.get("Content-Type")).toMatch("text/html");
    expect(response.headers.get("Retry-After")).toBe("42");
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(response.headers.get("Content-Security-Policy")).toContain("default-src 'none'");
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(await response.text()).toContain("Try again in 42 s.");
  });
});

describe("rateLimit behind cors()", () => {
  const page = "https://app.example";
  const send = (app: Hono, init: RequestInit = {}) =>
    app.request("/", { ...init, headers: { Origin: page, ...init.headers } });
  const policy = () => rateLimit({ name: crypto.randomUUID(), limit: 1, window: "1m" });

  it("lets pages read the fields of what passes and of what is refused", async () => {
    const app = new Hono();
    app.use(cors({ origin: page, exposeHeaders: ["X-Own"], credentials: true }));
    app.use(policy(), policy());
    app.all("*", (c) => c.text("hello"));
    for (const status of [200, 429]) {
      const response = await send(app);
      expect(response.status).toBe(status);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "access-control-allow-origin": page,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Own, RateLimit, RateLimit-Policy, Retry-After",
      });
    }
    expect((await send(app)).headers.get("Vary")).toBe("Accept, Origin");
  });

  it("lets no page read what cors() keeps from it", async () => {
    const app = new Hono();
    app.use(cors({ origin: "https://other.example" }));
    app.use(policy());
    app.all("*", (c) => c.text("hello"));
    for (const status of [200, 429]) {
      const response = await send(app);
      expect(response.status).toBe(status);
      expect(response.headers.has("Access-Control-Allow-Origin")).toBe(false);
    }
  });

  it("counts no preflight as a request, wherever cors() stands", async () => {
    const app = new Hono();
    app.use(policy(), cors());
    app.all("*", (c) => c.text("hello"));
    const headers = { "Access-Control-Request-Method": "PUT" };
    for (let n = 0; n < 3; n++) {
      expect((await send(app, { method: "OPTIONS", headers })).status).toBe(204);
    }
    expect((await send(app)).status).toBe(200);
  });
});
