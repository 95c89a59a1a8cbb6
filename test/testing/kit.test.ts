/** An app's own tests, in Node: its 429, by a clock that the test moves. */
import { Hono } from "hono";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { addressKey, limiter, rateLimit } from "../../src/outside.ts";
import { installTestKit } from "../../src/testing/index.ts";

const logins = limiter({ name: "logins", limit: 2, window: "15m" });
const leased = limiter({ name: "leased", limit: 1_000, window: "1m", lease: 0.5 });
const ok = () => new Response("ok");
const oneAMinute = { limit: 1, window: "1m" };
const app = new Hono();
app.get("/time", rateLimit({ limit: 3, window: "1m" }), ok);
app.get("/keys", rateLimit({ name: "keys", ...oneAMinute, key: addressKey }), ok);
app.get("/one", rateLimit({ name: "one", ...oneAMinute, algorithm: "concurrency" }), ok);
app.get("/held", rateLimit({ name: "held", limit: 1, window: "10s", maxWait: "20s" }), ok);
app.get("/failures", rateLimit({ name: "failures", ...oneAMinute, charge: "failure" }), ok);
app.get("/closed", rateLimit({ name: "closed", ...oneAMinute, onFailure: "deny" }), ok);
const byTeam = { name: "team", ...oneAMinute, key: () => "red" };
app.get("/pair", rateLimit({ name: "address", ...oneAMinute }, byTeam), ok);

const kit = installTestKit();
beforeEach(() => kit.reset());

async function statusOf(path: string, ip = "192.0.2.1"): Promise<number> {
  return (await app.request(path, { headers: { "CF-Connecting-IP": ip } })).status;
}

describe("an app under the test kit", () => {
  it("allows what its policy allows, and then refuses", async () => {
    const statuses = [];
    for (let at = 0; at < 4; at++) statuses.push(await statusOf("/time"));
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect(await statusOf("/time", "192.0.2.2")).toBe(200);
  });

  it("may be made anew with other fields after a reset", async () => {
    const newApp = (limit: number) =>
      new Hono().get("/", rateLimit({ name: "anew", limit, window: "1m" }), ok);
    expect((await newApp(1).request("/")).headers.get("RateLimit")).toMatch(/r=0;/);
    expect(() => newApp(5)).toThrow(
      'name must be different for each policy: write another name in one of the two (without one it is "default"), got "anew"',
    );
    kit.reset();
    expect((await newApp(5).request("/")).headers.get("RateLimit")).toMatch(/r=4;/);
    kit.deny(undefined, "anew");
  });

  it("counts parallel requests exactly", async () => {
    const statuses = await Promise.all(Array.from({ length: 50 }, () => statusOf("/time")));
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
  });

  it("refuses in one line, until the clock has moved on", async () => {
    kit.deny();
    const response = await app.request("/time");
    expect(response.status).toBe(429);
    expect(response.headers.get("Retry-After")).toBe("60");
    await kit.clock.advance("59s");
    expect((await app.request("/time")).status).toBe(429);
    await kit.clock.set("2026-01-01T00:01:00Z");
    expect((await app.request("/time")).status).toBe(200);
  });

  it.each([
    ["2001:db8::1", "2001:db8::ffff"],
    ["::ffff:192.0.2.9", "192.0.2.9"],
  ])("refuses %s by the network or address that it counts as", async (denied, ip) => {
    kit.deny(denied);
    expect(await statusOf("/time", ip)).toBe(429);
    expect(await statusOf("/keys", ip)).toBe(429);
    expect(await statusOf("/time", "2001:db8:1::1")).toBe(200);
    expect((await logins.check(denied)).allowed).toBe(false);
    expect((await logins.check("another")).allowed).toBe(true);
  });

  it("logs nothing of requests without an address", async () => {
    const warn = vi.spyOn(console, "warn");
    await app.request("/time");
    expect(kit.calls()).toMatchObject([{ key: ["unknown"] }]);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
  });

  it("refuses one key, or under one policy", async () => {
    kit.deny("192.0.2.1");
    kit.deny("192.0.2.2", "keys");
    expect(await statusOf("/time", "192.0.2.1")).toBe(429);
    expect(await statusOf("/time", "192.0.2.2")).toBe(200);
    expect(await statusOf("/keys", "192.0.2.2")).toBe(429);
    expect(await statusOf("/keys", "192.0.2.3")).toBe(200);
  });

  it("refuses a key that holds a lease", async () => {
    while ((await leased.check("ada")).source !== "lease");
    kit.deny("ada", "leased");
    expect((await leased.check("ada")).allowed).toBe(false);
  });

  it("holds a request until the clock says so", async () => {
    expect(await statusOf("/held")).toBe(200);
    const held = statusOf("/held");
    await kit.clock.advance("9s");
    expect(await Promise.race([held, "waits"])).toBe("waits");
    await kit.clock.advance("2s");
    expect(await held).toBe(200);
  });

  it("frees a slot when the response has ended", async () => {
    const first = await app.request("/one");
    expect((await app.request("/one")).status).toBe(429);
    await first.text();
    await kit.clock.advance(0);
    expect((await app.request("/one")).status).toBe(200);
  });

  it("gives back what a response does not cost", async () => {
    expect(await statusOf("/failures")).toBe(200);
    expect(await statusOf("/failures")).toBe(200);
    expect(kit.calls().map(({ verb }) => verb)).toEqual(["check", "refund", "check", "refund"]);
  });

  it("follows onFailure where owners do not answer", async () => {
    kit.failOwners();
    expect(await statusOf("/closed")).toBe(503);
    expect(await logins.check("ada")).toMatchObject({ allowed: true, source: "fallback" });
    await expect(logins.reset("ada")).rejects.toThrow("failOwners()");
    kit.reset();
    expect(await statusOf("/closed")).toBe(200);
  });

  it("says what was asked of its limiters", async () => {
    await statusOf("/pair");
    await logins.check("ada", { cost: 2 });
    await logins.check("ada");
    await logins.block("ada", "1m");
    expect(kit.calls()).toEqual([
      { verb: "check", key: ["192.0.2.1"], policies: ["address"], cost: 1, allowed: true },
      { verb: "check", key: ["red"], policies: ["team"], cost: 1, allowed: true },
      { verb: "check", key: ["ada"], policies: ["logins"], cost: 2, allowed: true },
      { verb: "check", key: ["ada"], policies: ["logins"], cost: 1, allowed: false },
      { verb: "block", key: ["ada"], policies: [], cost: 0 },
    ]);
  });

  it("has every call of a limiter", async () => {
    expect((await logins.peek("ada")).remaining).toBe(2);
    const { hold = "" } = await logins.reserve("ada", 2);
    expect((await logins.check("ada")).allowed).toBe(false);
    expect(await logins.settle("ada", hold, 1)).toMatchObject({ was: "live", remaining: 1 });
    expect((await logins.refund("ada")).remaining).toBe(2);
    await logins.block("ada", "1m");
    expect((await logins.check("ada")).reason).toBe("blocked");
    expect((await logins.explain("ada")).blockedMs).toBe(60_000);
    await logins.unblock("ada");
    kit.deny("ada", "logins");
    expect(await logins.peek("ada")).toMatchObject({ allowed: false, retryAfterMs: 900_000 });
    await logins.reset("ada");
    expect((await logins.check("ada")).allowed).toBe(true);
  });
});

describe("a mistake with the test kit says what to write", () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      "an unknown policy",
      () => kit.deny("ada", "logn"),
      /^policy must be one that the app has made: logins, .*, team, .*got "logn"$/,
    ],
    [
      "an unknown duration",
      () => kit.clock.advance("soon"),
      /^duration must be a duration from 0s .* got "soon"$/,
    ],
    [
      "a negative duration",
      () => kit.clock.advance(-1),
      /^duration must be .* milliseconds from 0 on, got -1$/,
    ],
    ["no time", () => kit.clock.set("noon"), /^time must be a Date, .*, got "noon"$/],
    [
      "an earlier time",
      () => kit.clock.set("2025-12-31"),
      /^time must be 2026-01-01T00:00:00.000Z, .* reset\(\) .*, got "2025-12-31"$/,
    ],
  ])("%s", async (_, act, message) => {
    await expect((async () => act())()).rejects.toThrow(message);
  });

  it("owners that fail after a call", async () => {
    await logins.check("ada");
    expect(() => kit.failOwners()).toThrow(
      /^failOwners\(\) must come before the first call: .* reset\(\) .*, got 1$/,
    );
  });

  it("a kit that is not installed", async () => {
    kit.uninstall();
    const use = /^the test kit is not installed: call installTestKit\(\) and use what it returns$/;
    expect(() => kit.reset()).toThrow(use);
    expect(() => kit.clock).toThrow(use);
    await expect(logins.check("ada")).rejects.toThrow(
      /^turnpike counts in a Cloudflare Worker only: [^.]+ in a test installTestKit\(\) of turnpike.testing$/,
    );
    const again = installTestKit();
    expect(installTestKit()).toBe(again);
    expect((await logins.check("ada")).source).toBe("owner");
  });
});
