/** Several policies, keys, paths, methods and names. */
import { type Context, Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { addressKey, limiter, type RateLimitOptions, rateLimit } from "../../src/index.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { appWith, statuses } from "./policy-app.ts";

const now = useStoppedClock();

describe("several policies", () => {
  it("takes several policies on one key all or none, in one call, and lists them all", async () => {
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
    vi.setSystemTime(now() + 1_000);
    expect((await send()).status).toBe(200);
    const spent = await send();
    expect(JSON.parse(spent.body)).toMatchObject({ "violated-policies": ["an-hour"] });
    expect(spent.headers.get("RateLimit")).toBe('"a-second";r=2;t=1, "an-hour";r=0;t=3599');
  });

  it("never lets more pass than each of several policies allows, in parallel", async () => {
    const send = appWith({ limit: 10, window: "1s" }, { limit: 25, window: "1m" });
    const passed: number[] = [];
    for (let second = 0; second < 4; second++) {
      vi.setSystemTime(now() + second * 1_000);
      const all = await Promise.all(Array.from({ length: 30 }, () => send()));
      passed.push(all.filter(({ status }) => status === 200).length);
    }
    expect(passed).toEqual([10, 10, 5, 0]);
  });

  it("holds a client with an IPv6 /48 as one, and its /64s one by one", async () => {
    const send = appWith({ limit: 2 }, { key: ["ip/48"], limit: 5 });
    const from = (subnet: number) => ({ ip: `2001:db8:1:${subnet}::1` });
    expect(await statuses(send, [from(0), from(0), from(0)])).toEqual([200, 200, 429]);
    const spent = [from(1), from(2), from(3), from(4)];
    expect(await statuses(send, spent)).toEqual([200, 200, 200, 429]);
    const other = { ip: "2001:db8:2::1" };
    expect(await statuses(send, [other, other, other])).toEqual([200, 200, 429]);
    // IPv4 neighbours are not counted together.
    const neighbours = [1, 2, 3, 4, 5, 6].map((n) => ({ ip: `192.0.2.${n}` }));
    expect(await statuses(send, neighbours)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it("gives back what policies on different keys took when one denies", async () => {
    const perUser = { name: "per-user", limit: 1, key: ["header:x-user"] };
    const perAddress = { name: "per-address", limit: 5 };
    const send = appWith(perUser, perAddress);
    const as = (user: string) => send({ headers: { "X-User": user } });
    expect((await as("ada")).status).toBe(200);
    for (let n = 0; n < 3; n++) {
      // Past the denial cache, so that both are asked.
      vi.setSystemTime(now() + (n + 1) * 6_000);
      const denied = await as("ada");
      expect(denied.status).toBe(429);
      expect(JSON.parse(denied.body)).toMatchObject({ "violated-policies": ["per-user"] });
    }
    const left = await as("bob");
    expect(left.headers.get("RateLimit")).toMatch(/"per-address";r=3;/);
  });

  it.each([
    { cost: 1, left: 4 },
    { cost: 2, left: 1 },
  ])("tells of another key what is left with its cost of $cost back", async ({ cost, left }) => {
    const one = { name: `one-${cost}`, limit: cost, cost };
    const other = { name: `other-${cost}`, limit: 5, cost, key: ["host"] };
    const send = appWith(one, other);
    await send();
    const { status, headers } = await send();
    expect([status, headers.get("RateLimit")]).toEqual([
      429,
      `"one-${cost}";r=0;t=3600, "other-${cost}";r=${left};t=3600`,
    ]);
  });

  it("does not spend the other policies' quota once one is known to deny", async () => {
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
  it("tells requests apart by each part that a key names", async () => {
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

  it("knows a request's country and network as key parts", async () => {
    const send = appWith({ limit: 1, key: ["country", "asn"] });
    const from = (country: string, asn: number) => ({
      cf: { country, asn } as IncomingRequestCfProperties,
    });
    expect(await statuses(send, [from("NL", 1), from("NL", 2), from("BE", 1)])).toEqual([
      200, 200, 200,
    ]);
    expect(await statuses(send, [from("NL", 1)])).toEqual([429]);
  });

  it("puts all requests without a header under one key, apart from an empty header", async () => {
    const send = appWith({ limit: 1, key: ["header:x-key"] });
    expect(await statuses(send, [{ ip: "192.0.2.1" }, { ip: "192.0.2.2" }])).toEqual([200, 429]);
    expect(await statuses(send, [{ headers: { "X-Key": "" } }])).toEqual([200]);
  });

  it("keeps keys apart whose joined parts are the same text", async () => {
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

  it("keeps odd keys distinct: addresses, 1,000 bytes, other scripts, NUL", async () => {
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

describe("500 made-up keys from one address", () => {
  const ATTEMPTS = Array.from({ length: 500 }, (_, n) => ({
    headers: { "X-Api-Key": `made-up-${n}`, Cookie: `sid=${n}` },
    path: `/?key=${n}`,
  }));
  const passed = async (send: ReturnType<typeof appWith>) =>
    (await statuses(send, ATTEMPTS)).filter((status) => status === 200).length;

  it.each(["header:X-Api-Key", "cookie:sid", "query:key"])(
    "gives each made-up key a quota under %s, and all of them one by address beside it",
    async (part) => {
      expect(await passed(appWith({ key: [part] }))).toBe(500);
      expect(await passed(appWith({ key: [part] }, { key: ["ip"], limit: 20 }))).toBe(20);
    },
  );

  it("gives made-up keys one quota if the key function knows the keys", async () => {
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
    "counts requests as unknown if a key function gives %j, and logs what to give",
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

describe("paths and methods", () => {
  it("reads one path however its slashes are written", async () => {
    const send = appWith({ limit: 1, path: "/login" });
    const all = ["/login", "/login/", "//login", "/%6cogin", "/./login", "/x/../login"];
    expect(
      await statuses(
        send,
        all.map((path) => ({ path })),
      ),
    ).toEqual([200, 429, 429, 429, 429, 429]);
  });

  it("treats HEAD as GET", async () => {
    const app = new Hono();
    app.use(rateLimit({ name: "get-only", limit: 1, window: "1h", method: ["GET"] }));
    app.get("/", (c) => c.text("x"));
    expect((await app.request("/")).status).toBe(200);
    expect((await app.request("/", { method: "HEAD" })).status).toBe(429);
  });
});

describe("names", () => {
  it("refuses a name that policies with different keys share", () => {
    const options = { name: "shared", limit: 1, window: "1h" };
    rateLimit({ ...options, key: (c) => c.req.header("X-User") });
    expect(() => rateLimit({ ...options, key: (c) => c.req.header("X-Order") })).toThrow(
      'name must be different for each policy: write another name in one of the two (without one it is "default"), got "shared"',
    );
    expect(() => limiter({ ...options, scope: "global" })).toThrow("name must be different");
  });

  it("refuses a limiter without a policy", () => {
    expect(() => rateLimit()).toThrow("input must be at least one policy, got nothing");
    const none = undefined as unknown as RateLimitOptions;
    const rule = 'policies[0] must be options such as { limit: 10, window: "1m" }';
    expect(() => rateLimit(none)).toThrow(`${rule}, got nothing`);
    const list = [{ limit: 1, window: "1m" }] as unknown as RateLimitOptions;
    expect(() => rateLimit(list)).toThrow(`${rule}, got [{"limit":1,"window":"1m"}]`);
  });

  it("refuses a name that one call has twice", () => {
    const options = { limit: 1, window: "1h" };
    expect(() => rateLimit(options, options)).toThrow(
      'name must be different for each policy: write another name in one of the two (without one it is "default"), got "default"',
    );
  });
});
