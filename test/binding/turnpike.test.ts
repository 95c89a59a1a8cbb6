/** The entrypoint that other Workers bind to: its methods, its errors, and what Workers share. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleText } from "../bench/contenders.ts";
import { bound, CALLING, type Cluster, deployed, start, withObjects, worker } from "./cluster.ts";

const POLICIES = [
  { name: "login", limit: 5, window: "1d" },
  { name: "upload", limit: 100, window: "1d", algorithm: "token-bucket" },
];
const serviceBindings = { LOGIN: bound("login"), NONE: bound(), WRONG: bound("logn") };

let cluster: Cluster;
beforeAll(async () => {
  cluster = await start(
    await deployed(POLICIES),
    worker("a", CALLING, { serviceBindings }),
    worker("b", CALLING, { serviceBindings }),
  );
});
afterAll(() => cluster.stop());

const fresh = () => crypto.randomUUID();
const from = (name: string, method: string, ...args: unknown[]) =>
  cluster.call(name, "LOGIN", method, ...args);

describe("the service binding", () => {
  it("answers limit() with a superset of Cloudflare's", async () => {
    const dayMs = 86_400_000;
    const { answer } = await from("a", "limit", { key: fresh() });
    expect(answer).toEqual({ success: true, limit: 5, remaining: 4, reset: expect.any(Number) });
    // The owner's midnight, and a call's time later.
    const midnightMs = Math.ceil(Date.now() / dayMs) * dayMs;
    expect(answer?.reset).toBeGreaterThanOrEqual(midnightMs - dayMs);
    expect(answer?.reset).toBeLessThan(midnightMs + dayMs);
  });

  it("counts exactly for two Workers and 50 parallel calls", async () => {
    const key = fresh();
    const calls = Array.from({ length: 50 }, (_, at) => from(at % 2 ? "a" : "b", "limit", { key }));
    const passed = (await Promise.all(calls)).filter(({ answer }) => answer?.success);
    expect(passed).toHaveLength(5);
  });

  it("counts exactly where parallel calls take several units", async () => {
    const key = fresh();
    const calls = Array.from({ length: 50 }, (_, at) =>
      from(at % 2 ? "a" : "b", "limit", { key, delta: 2 }),
    );
    const passed = (await Promise.all(calls)).filter(({ answer }) => answer?.success);
    // 2 + 2, and the third finds room for one.
    expect(passed).toHaveLength(3);
  });

  it("reserves in one Worker, and settles in another", async () => {
    const key = fresh();
    const { answer } = await from("a", "reserve", key, 4, { ttl: "5m" });
    expect(answer).toMatchObject({ allowed: true, remaining: 1, hold: expect.any(String) });
    const settled = await from("b", "settle", key, answer?.hold, 2);
    expect(settled.answer).toMatchObject({ was: "live", remaining: 3 });
    const again = await from("b", "release", key, answer?.hold);
    expect(again.answer).toMatchObject({ was: "settled", remaining: 3 });
    const { error } = await from("b", "settle", fresh(), answer?.hold, 2);
    expect(String(error)).toContain("hold must be of this key under these policies");
  });

  it("reads the ttl of a reservation in whichever argument it stands", async () => {
    for (const args of [[{ ttl: "1h" }], []]) {
      const key = fresh();
      await from("a", "reserve", args.length > 0 ? key : { key, ttl: "1h" }, 1, ...args);
      const state = expect.stringMatching(/, the next ends in (?:1 h|59 min \d+ s)$/);
      expect((await from("b", "explain", key)).answer).toMatchObject({ policies: [{ state }] });
    }
  });

  it("has the methods of a limiter, with whole decisions", async () => {
    const key = fresh();
    expect((await from("a", "check", key, { cost: 2 })).answer).toEqual({
      allowed: true,
      policy: "login",
      limit: 5,
      remaining: 3,
      resetMs: expect.any(Number),
      retryAfterMs: 0,
      delayMs: 0,
      reason: "ok",
      source: "owner",
      exact: true,
    });
    expect((await from("b", "peek", key)).answer).toMatchObject({ remaining: 3 });
    expect((await from("b", "refund", key)).answer).toMatchObject({ remaining: 4 });
    expect((await from("b", "explain", key)).answer).toMatchObject({
      owner: expect.stringMatching(/^weur\/\d$/),
      policies: [{ policy: "login", remaining: 4 }],
    });
    await from("b", "reset", key);
    expect((await from("a", "peek", key)).answer).toMatchObject({ remaining: 5 });
    await from("a", "block", key, "10m");
    expect((await from("b", "check", key)).answer).toMatchObject({ reason: "blocked" });
    await from("b", "unblock", key);
    expect((await from("b", "check", key)).answer).toMatchObject({ allowed: true });
  });

  it("answers many checks in their order", async () => {
    const key = fresh();
    const { answer } = await cluster.call<object[]>("a", "LOGIN", "checkMany", [
      { key, cost: 4 },
      { key, cost: 3, atMost: true },
      { key, policy: "upload" },
      fresh(),
    ]);
    expect(answer).toMatchObject([
      { policy: "login", remaining: 1 },
      { policy: "login", remaining: 0, taken: 1 },
      { policy: "upload", remaining: 99 },
      { policy: "login", remaining: 4 },
    ]);
  });

  it("lets a cost above the limit pass where an override allows it", async () => {
    const key = fresh();
    const { error } = await from("a", "check", key, { cost: 50 });
    expect(error).toContain("cost must be at most 5, the most that");
    await from("a", "override", key, 100, "1h");
    const { answer } = await from("b", "check", key, { cost: 50 });
    expect(answer).toMatchObject({ allowed: true, limit: 100, remaining: 50 });
    expect((await from("b", "reserve", key, 20)).answer).toMatchObject({ remaining: 30 });
    expect((await from("b", "limit", { key, delta: 80 })).answer).toMatchObject({ remaining: 0 });
    const many = ["checkMany", [fresh(), { key: fresh(), cost: 6 }]] as const;
    expect((await from("a", ...many)).error).toContain("checks[1].cost must be at most 5");
  });

  it("takes a policy with each call", async () => {
    const check = { key: fresh(), policy: "upload", cost: 10 };
    expect((await cluster.call("a", "NONE", "check", check)).answer).toMatchObject({
      policy: "upload",
      remaining: 90,
    });
  });

  it("takes keys that are empty, long or malformed, each of them one key", async () => {
    const long = "é".repeat(2_000);
    for (const key of ["", long, `${long}x`, `a\ud800`, fresh()]) {
      expect((await from("a", "limit", { key })).answer).toMatchObject({ remaining: 4 });
      expect((await from("b", "peek", key)).answer).toMatchObject({ remaining: 4 });
    }
    expect((await from("a", "limit", { key: undefined })).answer).toMatchObject({ remaining: 3 });
  });

  it.each([
    [[], 'key must be given, as in limit({ key: "user-1" }), got nothing'],
    [[{}], 'key must be given, as in limit({ key: "user-1" }), got nothing'],
    [["user-1"], 'key must be given, as in limit({ key: "user-1" }), got nothing'],
    [[{ key: 5 }], "key must be text, got 5"],
    [[{ key: "k", delta: 1.5 }], "delta must be a whole number from 1 to 4294967295, got 1.5"],
    [
      [{ key: "k", period: 10 }],
      "period is not one of the fields key, delta: the policy says the rest, got 10",
    ],
  ])("refuses limit(%j) in one sentence", async (args, message) => {
    expect((await from("a", "limit", ...args)).error).toBe(`MisuseError: ${message}`);
  });

  it.each<[string, unknown[], string]>([
    [
      "check",
      ["k", { cost: 6 }],
      'cost must be at most 5, the most that "login" lets pass at once, got 6',
    ],
    [
      "check",
      ["k", { period: 1 }],
      "period is not one of the fields key, policy, cost, atMost, region, got 1",
    ],
    [
      "check",
      [{ key: "k", ttl: "1h" }],
      'ttl is not one of the fields key, policy, cost, atMost, region, got "1h"',
    ],
    ["reserve", ["k", 1, null], "input must be an object, got null"],
    ["reserve", ["k", 1, 5], "input must be an object, got 5"],
    ["check", [], "key is required, got nothing"],
    ["check", ["k", 5], "input must be an object, got 5"],
    [
      "checkMany",
      [["k", { key: "k", cost: 0 }]],
      "checks[1].cost must be a whole number from 1 to 1000000000, got 0",
    ],
    [
      "checkMany",
      [["k", { key: "k", policy: "x" }]],
      'checks[1].policy must be the name of a policy, one of "login", "upload", got "x"',
    ],
    ["checkMany", [[]], "checks must be a list of 1 to 1000 checks, got []"],
    [
      "block",
      ["k", "1"],
      'duration must be a duration from 1ms to 366d such as "1m" (write "1s"), got "1"',
    ],
  ])("refuses %s(%j) in one sentence", async (method, args, message) => {
    expect((await from("a", method, ...args)).error).toBe(`MisuseError: ${message}`);
  });

  it("names the policies there are where a binding names none or another", async () => {
    const rule = 'props.policy must be the name of a policy, one of "login", "upload"';
    const wrong = await cluster.call("a", "WRONG", "limit", { key: "k" });
    expect(wrong.error).toBe(`MisuseError: ${rule}, got "logn"`);
    const none = await cluster.call("a", "NONE", "limit", { key: "k" });
    expect(none.error).toBe(
      `MisuseError: ${rule}, as in props = { policy = "login" }, got nothing`,
    );
  });
});

describe("an app that exports the entrypoint of the library", () => {
  const APP = `
    import { limiter } from "../../src/index.ts";
    export { Membership, RateLimiter, Turnpike } from "../../src/index.ts";
    const logins = limiter({ name: "login", limit: 5, window: "1d" });
    export default {
      async fetch(request, env) {
        const key = new URL(request.url).pathname;
        return Response.json(await logins.check(key));
      },
    };`;

  it("shares with others the policies that its code makes", async () => {
    await using app = await start(
      worker("app", await bundleText(APP, import.meta.dirname), withObjects({})),
      worker("other", CALLING, {
        serviceBindings: { LOGIN: bound("login", "app"), WRONG: bound("default", "app") },
      }),
    );
    await app.fetch("app", "http://app/user-1");
    const { answer } = await app.call("other", "LOGIN", "limit", { key: "/user-1" });
    expect(answer).toMatchObject({ success: true, remaining: 3 });
    const { error } = await app.call("other", "WRONG", "limit", { key: "k" });
    expect(error).toBe(
      'MisuseError: props.policy must be the name of a policy, one of "login", got "default"',
    );
  });

  it("still shares them after it has made thousands of others in requests", async () => {
    const MAKING = APP.replace(
      "const key =",
      `for (let at = 0; at < 10_001; at++) limiter({ name: "t" + at, limit: 1, window: "1d" });
        const key =`,
    );
    await using app = await start(
      worker("app", await bundleText(MAKING, import.meta.dirname), withObjects({})),
      worker("other", CALLING, { serviceBindings: { LOGIN: bound("login", "app") } }),
    );
    await app.fetch("app", "http://app/user-1");
    const { answer } = await app.call("other", "LOGIN", "limit", { key: "/user-1" });
    expect(answer).toMatchObject({ success: true, remaining: 3 });
  });

  it("refuses a policy whose quota or cost is a function of the request", async () => {
    const MAKING = APP.replace("import { limiter", "import { limiter, rateLimit").replace(
      "export default",
      `const day = { limit: 9, window: "1d" };
      rateLimit({ ...day, name: "plan", limit: () => 100 });
      rateLimit({ ...day, name: "month", window: () => "30d" });
      rateLimit({ ...day, name: "tokens", cost: () => 7 });
      rateLimit({ ...day, name: "users", key: () => "ada" });
      export default`,
    );
    await using app = await start(
      worker("app", await bundleText(MAKING, import.meta.dirname), withObjects({})),
      worker("other", CALLING, {
        serviceBindings: { PLAN: bound("plan", "app"), USERS: bound("users", "app") },
      }),
    );
    const refused = (at: string, field: string, name: string) =>
      `MisuseError: ${at} must have no function as its ${field}, since a binding has no request, got "${name}"`;
    const { error } = await app.call("other", "PLAN", "limit", { key: "k" });
    expect(error).toBe(refused("props.policy", "limit", "plan"));
    for (const [policy, field] of [
      ["month", "window"],
      ["tokens", "cost"],
    ] as const) {
      const checked = await app.call("other", "PLAN", "check", "k", { policy });
      expect(checked.error).toBe(refused("policy", field, policy));
    }
    const { answer } = await app.call("other", "USERS", "limit", { key: "k" });
    expect(answer).toMatchObject({ success: true, remaining: 8 });
  });

  it("shares the policies of its variable", async () => {
    const POLICIES = [{ name: "site", limit: 9, window: "1d" }];
    await using app = await start(
      worker("app", await bundleText(APP, import.meta.dirname), withObjects({ POLICIES })),
      worker("other", CALLING, { serviceBindings: { SITE: bound("site", "app") } }),
    );
    const { answer } = await app.call("other", "SITE", "limit", { key: "k" });
    expect(answer).toMatchObject({ success: true, remaining: 8 });
  });
});
