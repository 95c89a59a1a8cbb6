/** Everything a policy may say about a request, beyond its limit. */

import { type Context, Hono } from "hono";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { enforce } from "../../src/http/rate-limit.ts";
import {
  addressKey,
  type Decision,
  limiter,
  type RateLimitEnv,
  type RateLimitOptions,
  rateLimit,
} from "../../src/index.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";

/** Each test is later than the one before: an owner's clock never runs backwards. */
let nowMs = Date.UTC(2036, 10, 22, 12);

beforeEach(() => {
  nowMs += 3_600_000;
  vi.useFakeTimers({ toFake: ["Date"], now: nowMs });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** How long a caller waits for an owner, and three times that for another request's call. */
const DEADLINE_MS = 10_000;

interface Sent {
  ip?: string;
  path?: string;
  headers?: Record<string, string>;
  cf?: IncomingRequestCfProperties;
}

function appWith(...policies: Partial<RateLimitOptions>[]) {
  const app = new Hono<RateLimitEnv>();
  const named = policies.map((policy) => ({
    name: crypto.randomUUID(),
    limit: 2,
    window: "1h",
    ...policy,
  }));
  app.use(rateLimit(...named));
  app.get("/fail", (c) => c.text("wrong password", 401));
  app.get("/throw", () => {
    throw new Error("handler");
  });
  app.onError((_, c) => c.text("error", 500));
  app.get("*", (c) => c.json({ decision: c.var.decision, decisions: c.var.decisions }));
  return async ({ ip = "192.0.2.1", path = "/", headers = {}, cf }: Sent = {}) => {
    const request = new Request(`https://site.example${path}`, {
      headers: { "CF-Connecting-IP": ip, ...headers },
      ...(cf && { cf }),
    });
    const pending: Promise<unknown>[] = [];
    const context = { waitUntil: (task: Promise<unknown>) => pending.push(task) };
    const response = await app.fetch(request, {}, context as unknown as ExecutionContext);
    const body = await response.text();
    await Promise.all(pending);
    return { status: response.status, headers: response.headers, body };
  };
}

async function statuses(send: ReturnType<typeof appWith>, all: Sent[]): Promise<number[]> {
  const found: number[] = [];
  for (const each of all) found.push((await send(each)).status);
  return found;
}

describe("several policies", () => {
  it("on one key are taken all or none, in one hop, and all listed", async () => {
    const send = appWith(
      { name: "a-second", limit: 3, window: "1s" },
      { name: "an-hour", limit: 4, window: "1h" },
    );
    const first = await send();
    expect(first.headers.get("RateLimit")).toBe('"a-second";r=2;t=1, "an-hour";r=3;t=3600');
    expect(first.headers.get("RateLimit-Policy")).toBe('"a-second";q=3;w=1, "an-hour";q=4;w=3600');
    await send();
    await send();
    const denied = await send();
    expect(denied.status).toBe(429);
    expect(JSON.parse(denied.body)).toMatchObject({ "violated-policies": ["a-second"] });
    expect(denied.headers.get("RateLimit")).toBe('"a-second";r=0;t=1, "an-hour";r=1;t=3600');
    vi.setSystemTime(nowMs + 1_000);
    expect((await send()).status).toBe(200);
    const spent = await send();
    expect(JSON.parse(spent.body)).toMatchObject({ "violated-policies": ["an-hour"] });
    expect(spent.headers.get("RateLimit")).toBe('"a-second";r=2;t=1, "an-hour";r=0;t=3599');
  });

  it("never let more pass than either allows, hammered", async () => {
    const send = appWith({ limit: 10, window: "1s" }, { limit: 25, window: "1m" });
    const passed: number[] = [];
    for (let second = 0; second < 4; second++) {
      vi.setSystemTime(nowMs + second * 1_000);
      const all = await Promise.all(Array.from({ length: 30 }, () => send()));
      passed.push(all.filter(({ status }) => status === 200).length);
    }
    expect(passed).toEqual([10, 10, 5, 0]);
  });

  it("hold a client with an IPv6 /48 as one, and its /64s one by one", async () => {
    const send = appWith({ limit: 2 }, { key: ["ip/48"], limit: 5 });
    const from = (subnet: number) => ({ ip: `2001:db8:1:${subnet}::1` });
    expect(await statuses(send, [from(0), from(0), from(0)])).toEqual([200, 200, 429]);
    const spent = [from(1), from(2), from(3), from(4)];
    expect(await statuses(send, spent)).toEqual([200, 200, 200, 429]);
    const other = { ip: "2001:db8:2::1" };
    expect(await statuses(send, [other, other, other])).toEqual([200, 200, 429]);
    // No IPv4 neighbours are held together.
    const neighbours = [1, 2, 3, 4, 5, 6].map((n) => ({ ip: `192.0.2.${n}` }));
    expect(await statuses(send, neighbours)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it("on different keys give back what they took when one denies", async () => {
    const perUser = { name: "per-user", limit: 1, key: ["header:x-user"] };
    const perAddress = { name: "per-address", limit: 5 };
    const send = appWith(perUser, perAddress);
    const as = (user: string) => send({ headers: { "X-User": user } });
    expect((await as("ada")).status).toBe(200);
    for (let n = 0; n < 3; n++) {
      // Past the denial cache, so that both are asked.
      vi.setSystemTime(nowMs + (n + 1) * 6_000);
      const denied = await as("ada");
      expect(denied.status).toBe(429);
      expect(JSON.parse(denied.body)).toMatchObject({ "violated-policies": ["per-user"] });
    }
    const left = await as("bob");
    expect(left.headers.get("RateLimit")).toMatch(/"per-address";r=3;/);
  });

  it("do not spend the others' quota once one is known to deny", async () => {
    const send = appWith(
      { name: "u", limit: 1, key: ["header:x-user"] },
      { name: "ip-9", limit: 9 },
    );
    const as = (user: string) => send({ headers: { "X-User": user } });
    await as("ada");
    const all = await Promise.all(Array.from({ length: 20 }, () => as("ada")));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([429]));
    expect((await as("bob")).headers.get("RateLimit")).toMatch(/"ip-9";r=7;/);
  });
});

describe("key parts", () => {
  it("tell requests apart by each thing they name", async () => {
    const send = appWith({ limit: 1, key: ["host", "path", "method", "header:x-a", "cookie:b"] });
    const same = { path: "/x", headers: { "X-A": "1", Cookie: "b=2" } };
    const others = [
      { ...same, path: "/y" },
      { ...same, headers: { ...same.headers, "X-A": "2" } },
      { ...same, headers: { ...same.headers, Cookie: "b=3" } },
    ];
    expect(await statuses(send, [same, ...others])).toEqual([200, 200, 200, 200]);
    expect(await statuses(send, [{ ...same, ip: "192.0.2.99" }])).toEqual([429]);
  });

  it("know a request's country and network", async () => {
    const send = appWith({ limit: 1, key: ["country", "asn"] });
    const from = (country: string, asn: number) => ({
      cf: { country, asn } as IncomingRequestCfProperties,
    });
    expect(await statuses(send, [from("NL", 1), from("NL", 2), from("BE", 1)])).toEqual([
      200, 200, 200,
    ]);
    expect(await statuses(send, [from("NL", 1)])).toEqual([429]);
  });

  it("put all requests without a header under one key, apart from an empty one", async () => {
    const send = appWith({ limit: 1, key: ["header:x-key"] });
    expect(await statuses(send, [{ ip: "192.0.2.1" }, { ip: "192.0.2.2" }])).toEqual([200, 429]);
    expect(await statuses(send, [{ headers: { "X-Key": "" } }])).toEqual([200]);
  });

  it("keep tuples apart that read the same when joined", async () => {
    const send = appWith({ limit: 1, key: ["header:x-a", "header:x-b"] });
    const pairs = [
      ["ab", "c"],
      ["a", "bc"],
      ["1:a", "b"],
      ["1", ":a1:b"],
    ];
    const all = pairs.map(([a = "", b = ""]) => ({ headers: { "X-A": a, "X-B": b } }));
    expect(await statuses(send, all)).toEqual([200, 200, 200, 200]);
  });

  it("keep odd keys distinct: addresses, 1,000 bytes, other scripts, NUL", async () => {
    const odd = limiter({ name: "odd", limit: 1, window: "1h" });
    const long = "x".repeat(999);
    const keys = [
      "::1",
      "::2",
      "0:0:0:0:0:0:0:1",
      `${long}a`,
      `${long}b`,
      "ключ",
      "ключи",
      "\0",
      "\0\0",
      "a\0b",
      "ab",
    ];
    for (const key of keys) expect(await odd.check(key), key).toMatchObject({ allowed: true });
    for (const key of keys) expect(await odd.check(key), key).toMatchObject({ allowed: false });
  });
});

describe("cost and limit", () => {
  it("may be functions of the request", async () => {
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

  it("deny all where a plan gives nothing, until the window ends", async () => {
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

  it("answer 400 to a request that costs more than could ever pass", async () => {
    const send = appWith({ name: "costly", limit: 5, cost: () => 6 });
    const { status, body } = await send();
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({
      detail: 'cost must be at most 5, the most that "costly" lets pass at once, got 6',
      field: "cost",
    });
  });

  it("fit together once a request says what its limit is", async () => {
    const send = appWith({ limit: () => 12, cost: 5 });
    // Seven units are one such request.
    expect((await send()).headers.get("RateLimit")).toMatch(/;r=1;/);
    // Both are the operator's, so the client is told nothing.
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const poor = await appWith({ limit: () => 3, cost: 5 })();
    expect([poor.status, JSON.parse(poor.body).field]).toEqual([500, undefined]);
    expect(error.mock.calls[0]?.[0]).toContain('"event":"limit-function-failed"');
    const bucket = { window: "1h", algorithm: "token-bucket", burst: 4, limit: () => 9 } as const;
    expect(() => rateLimit({ ...bucket, cost: 5 })).toThrow("cost must be at most 4");
    expect(() => rateLimit({ limit: () => 9, window: "1h", cost: 1.5 })).toThrow(
      "cost must be a whole number",
    );
  });

  it.each<["cost" | "limit", Partial<RateLimitOptions>, string]>([
    ["cost", { cost: () => 0 }, "got 0"],
    ["cost", { cost: () => 1.5 }, "got 1.5"],
    ["cost", { cost: () => Number.NaN }, "got NaN"],
    ["cost", { cost: () => "5 of mallory's" as unknown as number }, 'got "string"'],
    ["cost", { cost: () => Promise.reject(new Error("no database")) }, "no database"],
    ["cost", { limit: () => 9, cost: () => -1 }, "got -1"],
    ["limit", { limit: () => 1.5 }, "got 1.5"],
    ["limit", { limit: () => undefined as unknown as number }, 'got "undefined"'],
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
    "whose %s function fails are told to the operator alone",
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

  it("refuse a function of the cost where the response decides on it", () => {
    expect(() => rateLimit({ limit: 1, window: "1h", charge: "failure", cost: () => 1 })).toThrow(
      'cost must be a number where "charge" looks at the response, got "a function"',
    );
  });
});

describe("charge", () => {
  it("counts only failed responses, as for a login", async () => {
    const send = appWith({ charge: "failure" });
    const fine = Array.from({ length: 5 }, () => ({}));
    expect(await statuses(send, fine)).toEqual([200, 200, 200, 200, 200]);
    const wrong = Array.from({ length: 3 }, () => ({ path: "/fail" }));
    expect(await statuses(send, wrong)).toEqual([401, 401, 429]);
    expect(await statuses(send, [{}])).toEqual([429]);
  });

  it("counts a handler that throws as failed", async () => {
    const send = appWith({ charge: "failure" });
    expect(await statuses(send, Array(3).fill({ path: "/throw" }))).toEqual([500, 500, 429]);
  });

  it("counts only good responses", async () => {
    const send = appWith({ charge: "success" });
    expect(await statuses(send, Array(4).fill({ path: "/fail" }))).toEqual([401, 401, 401, 401]);
    expect(await statuses(send, [{}, {}, {}])).toEqual([200, 200, 429]);
  });

  it("lets no more attempts through in parallel than may fail", async () => {
    const send = appWith({ charge: "failure", limit: 5 });
    const all = await Promise.all(Array.from({ length: 40 }, () => send({ path: "/fail" })));
    expect(all.filter(({ status }) => status === 401)).toHaveLength(5);
  });

  it("gives nothing of one window back to the next", async () => {
    const app = new Hono();
    app.use(rateLimit({ name: "seam", limit: 2, window: "1h", charge: "failure" }));
    app.get("/", (c) => {
      // The handler ends in the next window.
      vi.setSystemTime(nowMs + 3_600_000);
      return c.text("fine");
    });
    app.get("/fail", (c) => c.text("no", 401));
    const get = (path: string) =>
      app.request(path, { headers: { "CF-Connecting-IP": "192.0.2.1" } });
    vi.setSystemTime(nowMs + 3_599_000);
    await get("/");
    const failed = [await get("/fail"), await get("/fail"), await get("/fail")];
    expect(failed.map(({ status }) => status)).toEqual([401, 401, 429]);
    nowMs += 3_600_000;
  });
});

describe("500 made-up keys from one address", () => {
  const ATTEMPTS = Array.from({ length: 500 }, (_, n) => ({
    headers: { "X-Api-Key": `made-up-${n}`, Cookie: `sid=${n}` },
    path: `/?key=${n}`,
  }));
  const passed = async (send: ReturnType<typeof appWith>) =>
    (await statuses(send, ATTEMPTS)).filter((status) => status === 200).length;

  it.each(["header:X-Api-Key", "cookie:sid", "query:key"])(
    "have a quota each under %s, and one with a policy by address beside it",
    async (part) => {
      expect(await passed(appWith({ key: [part] }))).toBe(500);
      expect(await passed(appWith({ key: [part] }, { key: ["ip"], limit: 20 }))).toBe(20);
    },
  );

  it("have one where the key function knows the keys", async () => {
    const customers = new Set(["customer-1"]);
    const key = (c: Context) => {
      const given = c.req.header("X-Api-Key");
      return given !== undefined && customers.has(given) ? given : addressKey(c);
    };
    const send = appWith({ key, limit: 20 });
    expect(await passed(send)).toBe(20);
    expect(await statuses(send, [{ headers: { "X-Api-Key": "customer-1" } }])).toEqual([200]);
    expect(await statuses(send, [{ ip: "192.0.2.2" }])).toEqual([200]);
  });
});

describe("charge by what a response says", () => {
  it("charges the listed statuses alone", async () => {
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
  ])("charges where the function %s, and says so once", async (_, charge) => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const send = appWith({ charge });
    expect(await statuses(send, [{}, {}, {}])).toEqual([200, 200, 429]);
    expect(error).toHaveBeenCalledOnce();
    expect(error.mock.calls[0]?.[0]).toContain('"event":"charge-function-failed"');
  });
});

describe("a key function", () => {
  it.each([
    [42, "gave a number: write String(…) around it"],
    [undefined, "gave nothing"],
    [null, "gave nothing"],
    ["", "gave empty text"],
    [[], "gave a list of nothing"],
    [["user", 42], "gave a list of text, a number: write String(…) around it"],
    [{ id: 1 }, "gave an object"],
    ["\ud800", "gave text that is not well-formed Unicode"],
  ])(
    "that gives %j is told what to give, and its requests count as unknown",
    async (given, said) => {
      const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
      const send = appWith({ key: (() => given) as () => string, limit: 1 });
      expect(await statuses(send, [{ ip: "192.0.2.1" }, { ip: "192.0.2.2" }])).toEqual([200, 429]);
      const [line] = warn.mock.calls[0] as [string];
      expect(JSON.parse(line)).toMatchObject({
        event: "key-function-failed",
        detail: `TypeError: it must give text, or a list of texts, none of them empty, and ${said}`,
      });
    },
  );
});

describe("shadow", () => {
  it("decides, counts and reports, and never enforces", async () => {
    const send = appWith({ name: "trial", shadow: true });
    const reasons: string[] = [];
    for (let n = 0; n < 4; n++) {
      const { status, headers, body } = await send();
      expect(status).toBe(200);
      expect(headers.get("RateLimit")).toBeNull();
      reasons.push((JSON.parse(body) as { decision: Decision }).decision.reason);
    }
    expect(reasons).toEqual(["ok", "ok", "shadow", "shadow"]);
  });

  it("does not stand in the way of a policy that is enforced, nor count what that denies", async () => {
    const send = appWith({ name: "trial-2", shadow: true, limit: 1 }, { name: "real", limit: 3 });
    expect(await statuses(send, [{}, {}, {}, {}])).toEqual([200, 200, 200, 429]);
  });

  it("refuses no address of its deny list, and no cost above its limit", async () => {
    const send = appWith({ shadow: true, limit: 2, deny: ["0.0.0.0/0"], cost: () => 9 });
    const { status, body } = await send();
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ decision: { reason: "shadow", remaining: 2 } });
    expect(() => appWith({ shadow: true, limit: 2, cost: 9 })).toThrow("cost must be at most 2");
  });

  it("holds no request in its leaky bucket", async () => {
    const send = appWith({ shadow: true, limit: 2, window: "2s", algorithm: "leaky-bucket" });
    await send();
    const { body } = await send();
    expect(JSON.parse(body)).toMatchObject({ decision: { reason: "ok", delayMs: 0 } });
  });
});

describe("maxWait", () => {
  it("holds a denied request until it may pass", async () => {
    const waits = vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
      // The deadline of a call is no part of this; it loses the race.
      if (ms === DEADLINE_MS) return new Promise(() => {});
      vi.setSystemTime(Date.now() + ms);
    });
    const send = appWith({ algorithm: "token-bucket", limit: 2, window: "2s", maxWait: "5s" });
    expect(await statuses(send, [{}, {}, {}, {}])).toEqual([200, 200, 200, 200]);
    const held = waits.mock.calls.map(([ms]) => ms).filter((ms) => ms !== DEADLINE_MS);
    expect(held).toEqual([1_000, 1_000]);
  });

  it("refuses at once what would have to wait longer", async () => {
    const send = appWith({ limit: 1, maxWait: "5s" });
    expect(await statuses(send, [{}, {}])).toEqual([200, 429]);
  });
});

describe("the leaky bucket", () => {
  it("holds each request until its turn", async () => {
    const held: number[] = [];
    vi.spyOn(scheduler, "wait").mockImplementation((ms) => {
      if (ms === DEADLINE_MS || ms === 3 * DEADLINE_MS) return new Promise(() => {});
      if (ms > 1) held.push(ms);
      return Promise.resolve();
    });
    const send = appWith({ algorithm: "leaky-bucket", limit: 4, window: "4s" });
    const all = await Promise.all(Array.from({ length: 10 }, () => send()));
    expect(all.filter(({ status }) => status === 200)).toHaveLength(4);
    expect(held.sort((a, b) => a - b)).toEqual([1_000, 2_000, 3_000]);
  });
});

describe("address lists", () => {
  it("let allowed addresses pass uncounted and refuse denied ones, allowed ones excepted", async () => {
    const send = appWith({
      limit: 1,
      allow: ["192.0.2.7", "2001:db8:1::/48"],
      deny: ["192.0.2.0/24", "2001:db8::/32"],
    });
    const allowed = ["192.0.2.7", "192.0.2.7", "2001:db8:1::5", "::ffff:192.0.2.7"];
    expect(
      await statuses(
        send,
        allowed.map((ip) => ({ ip })),
      ),
    ).toEqual([200, 200, 200, 200]);
    const denied = ["192.0.2.8", "2001:db8:2::1", "::ffff:192.0.2.8"];
    expect(
      await statuses(
        send,
        denied.map((ip) => ({ ip })),
      ),
    ).toEqual([403, 403, 403]);
    const counted = ["198.51.100.1", "198.51.100.1", "2001:db9::1"];
    expect(
      await statuses(
        send,
        counted.map((ip) => ({ ip })),
      ),
    ).toEqual([200, 429, 200]);
  });

  it("answer a refusal as a problem, or as a page", async () => {
    const send = appWith({ deny: ["0.0.0.0/0"] });
    const { headers, body } = await send();
    expect(headers.get("Content-Type")).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ status: 403, title: "Forbidden" });
    expect((await send({ headers: { Accept: "text/html" } })).body).toContain("<h1>Forbidden</h1>");
  });
});

describe("paths and methods", () => {
  it("read one path however its slashes are written", async () => {
    const send = appWith({ limit: 1, path: "/login" });
    const all = ["/login", "/login/", "//login", "/%6cogin", "/./login", "/x/../login"];
    expect(
      await statuses(
        send,
        all.map((path) => ({ path })),
      ),
    ).toEqual([200, 429, 429, 429, 429, 429]);
  });

  it("treat HEAD as GET", async () => {
    const app = new Hono();
    app.use(rateLimit({ name: "get-only", limit: 1, window: "1h", method: ["GET"] }));
    app.get("/", (c) => c.text("x"));
    expect((await app.request("/")).status).toBe(200);
    expect((await app.request("/", { method: "HEAD" })).status).toBe(429);
  });
});

describe("names", () => {
  it("may not be shared by policies that count different keys", () => {
    const options = { name: "shared", limit: 1, window: "1h" };
    rateLimit({ ...options, key: (c) => c.req.header("X-User") });
    expect(() => rateLimit({ ...options, key: (c) => c.req.header("X-Order") })).toThrow(
      'name must be different for each policy, got "shared"',
    );
    expect(() => limiter({ ...options, scope: "global" })).toThrow("name must be different");
  });

  it("are of at least one policy", () => {
    expect(() => rateLimit()).toThrow("input must be at least one policy, got nothing");
    const none = undefined as unknown as RateLimitOptions;
    expect(() => rateLimit(none)).toThrow("policies[0] must be a policy's options, got nothing");
  });

  it("may not be given twice in one call", () => {
    const options = { limit: 1, window: "1h" };
    expect(() => rateLimit(options, options)).toThrow(
      'name must be different for each policy, got "default"',
    );
  });
});

describe("an owner out of reach", () => {
  function appOver(
    misbehave: (owner: string) => unknown,
    policy: object,
    owners = new FakeOwners(),
  ) {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    owners.misbehave = misbehave;
    const config = parseConfig({ HOME_REGION: "sam" });
    const app = new Hono();
    const rule = { policy: parsePolicy({ limit: 5, window: "1h", ...policy }) };
    app.use(enforce([rule], new Caller({ owners, runtime: WORKERS, ...config }), config));
    app.get("*", (c) => c.text("in"));
    return app;
  }
  const broken = () => Promise.reject(new Error("broken"));

  it("is answered with 503 where the policy says deny, with no word of what is left", async () => {
    const response = await appOver(broken, { onFailure: "deny" }).request("/");
    expect(response.status).toBe(503);
    expect(response.headers.get("Retry-After")).toBe("1");
    expect(response.headers.get("RateLimit")).toBeNull();
    expect(await response.json()).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    });
  });

  it("is no reason to deny where the policy says allow", async () => {
    const response = await appOver(broken, { onFailure: "allow" }).request("/");
    expect([response.status, response.headers.get("RateLimit")]).toEqual([200, null]);
  });

  it("is looked for in the region where the request came in", async () => {
    const owners = new FakeOwners();
    const app = appOver(broken, {}, owners);
    const cf = { continent: "OC", longitude: "151.2" } as IncomingRequestCfProperties;
    await app.request(new Request("https://site.example/", { cf }));
    await app.request("/");
    expect(owners.calls.map(({ owner }) => owner.split("/")[0])).toEqual(["oc", "sam"]);
  });
});
