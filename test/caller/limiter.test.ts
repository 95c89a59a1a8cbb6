import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type LimiterOptions, limiter } from "../../src/index.ts";

const fresh = () => crypto.randomUUID();

describe("limiter", () => {
  it("counts against a real owner", async () => {
    const logins = limiter({ name: fresh(), limit: 5, window: "1d" });
    expect(await logins.check("ada", { cost: 3 })).toMatchObject({ allowed: true, remaining: 2 });
    expect(await logins.peek("ada", { cost: 3 })).toMatchObject({ allowed: false, remaining: 2 });
    expect(await logins.check("ada", { cost: 3 })).toMatchObject({ allowed: false, remaining: 2 });
    expect(await logins.check("bob")).toMatchObject({ allowed: true, remaining: 4 });
    await logins.reset("ada");
    expect(await logins.check("ada", { cost: 5 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("refuses options that make no policy, where they are written", () => {
    expect(() => limiter({ name: fresh(), limit: 1.5, window: "1d" })).toThrow(
      "limit must be a whole number from 0 to 1000000000, got 1.5",
    );
  });

  it.each([
    [undefined, "nothing"],
    [null, "null"],
    ["10 per minute", '"10 per minute"'],
    [[{ limit: 1, window: "1m" }], '[{"limit":1,"window":"1m"}]'],
  ])("refuses what are no options: %j", (options, shown) => {
    expect(() => limiter(options as unknown as LimiterOptions)).toThrow(
      `input must be options such as { limit: 10, window: "1m" }, got ${shown}`,
    );
  });

  it.each(["key", "path", "method", "charge", "maxWait", "allow"])(
    "refuses %s, which is about a request",
    (field) => {
      const options = { name: fresh(), limit: 1, window: "1d", [field]: ["ip"] };
      expect(() => limiter(options)).toThrow(
        `${field} must be left out, since a limiter sees no request, got ["ip"]`,
      );
      expect(() => limiter({ ...options, [field]: undefined })).not.toThrow();
    },
  );

  it("refuses a second policy of the same name, which would share its counters", () => {
    const name = fresh();
    limiter({ name, limit: 5, window: "1d" });
    expect(() => limiter({ name, limit: 5, window: "1d" })).not.toThrow();
    expect(() => limiter({ name, limit: 6, window: "1d" })).toThrow(
      `name must be different for each policy: write another name in one of the two (without one it is "default"), got "${name}"`,
    );
  });

  it("rejects keys and costs that make no sense", async () => {
    const logins = limiter({ name: fresh(), limit: 5, window: "1d" });
    await expect(logins.check("\ud800")).rejects.toThrow("key must be well-formed Unicode");
    await expect(logins.check("ada", { region: "mars" as "me" })).rejects.toThrow(
      'region must be "wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr" or "me", got "mars"',
    );
    await expect(logins.check("")).rejects.toThrow('key must not be empty, got ""');
    await expect(logins.check("ü".repeat(513))).rejects.toThrow("key must be at most 1024 bytes");
    await expect(logins.check("ada", { cost: 0 })).rejects.toThrow("cost must be a whole number");
    await expect(logins.check("ada", { cost: 6 })).rejects.toThrow(
      "cost must be at most 5, the most that",
    );
    expect(await logins.peek("ada")).toMatchObject({ remaining: 5 });
  });

  it.each<[unknown, string]>([
    [3, "input must be an object, got 3"],
    [null, "input must be an object, got null"],
    [{ costs: 3 }, 'costs is not a known field (did you mean "cost"?), got 3'],
    [{ cost: null }, "cost must be a whole number from 1 to 1000000000, got null"],
    [{ ttl: "1h" }, 'ttl is not one of the fields cost, atMost, region, got "1h"'],
  ])("rejects calls with the options %j, and counts nothing", async (options, message) => {
    const logins = limiter({ name: fresh(), limit: 5, window: "1d" });
    for (const call of ["check", "peek", "refund", "explain"] as const) {
      await expect(logins[call]("ada", options as object)).rejects.toThrow(message);
    }
    expect(await logins.peek("ada")).toMatchObject({ remaining: 5 });
  });

  it.each<[unknown, string]>([
    [3, "input must be an object, got 3"],
    [{ tll: "1h" }, 'tll is not one of the fields region, ttl, got "1h"'],
    [{ cost: 3 }, "cost is not one of the fields region, ttl, got 3"],
    [{ atMost: true }, "atMost is not one of the fields region, ttl, got true"],
  ])("rejects a reservation with the options %j, and holds nothing", async (options, message) => {
    const tokens = limiter({ name: fresh(), limit: 5, window: "1d" });
    await expect(tokens.reserve("ada", 1, options as object)).rejects.toThrow(message);
    expect(await tokens.peek("ada")).toMatchObject({ remaining: 5 });
  });

  it("refunds, blocks, unblocks, explains and overrides", async () => {
    const name = fresh();
    const calls = limiter({ name, limit: 5, window: "1d" });
    await calls.check("ada", { cost: 4 });
    expect(await calls.refund("ada", { cost: 3 })).toMatchObject({ remaining: 4 });
    expect(await calls.refund("ada", { cost: 3 })).toMatchObject({ remaining: 5 });
    await calls.check("ada", { cost: 2 });
    await calls.block("ada", "1h");
    expect(await calls.check("ada")).toMatchObject({
      allowed: false,
      reason: "blocked",
      remaining: 3,
    });
    expect(await calls.explain("ada")).toMatchObject({
      owner: expect.stringMatching(/^weur\/[0-3]$/),
      ringVersion: 1,
      blockedMs: expect.any(Number),
      policies: [
        {
          policy: name,
          remaining: 3,
          state: expect.stringMatching(/^2 of 5 spent in the window that ends in [\dhmins ]+$/),
          nextUnitMs: expect.any(Number),
        },
      ],
    });
    await calls.unblock("ada");
    expect(await calls.check("ada")).toMatchObject({ allowed: true, remaining: 2 });
    await calls.override("ada", 10, "1h");
    expect(await calls.check("ada")).toMatchObject({ remaining: 6, limit: 10 });
    await calls.override("ada", "unlimited", "1h");
    expect(await calls.check("ada", { cost: 5 })).toMatchObject({ remaining: 1_000_000_000 });
    await calls.clearOverride("ada");
    expect(await calls.check("ada")).toMatchObject({ remaining: 0, limit: 5 });
    await expect(calls.override("ada", -1, "1h")).rejects.toThrow("limit must be a whole number");
    await expect(calls.block("ada", "soon")).rejects.toThrow(
      "duration must be a duration from 1ms to",
    );
  });

  it("trusts a denial for 5 s, also where the clock is set back meanwhile", async () => {
    const startMs = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: startMs });
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.useRealTimers().restoreAllMocks());
    const calls = limiter({ name: fresh(), limit: 0, window: "1d" });
    expect(await calls.check("ada")).toMatchObject({ source: "owner" });
    expect(await calls.check("ada")).toMatchObject({ source: "denial-cache" });
    vi.setSystemTime(startMs - 3_600_000);
    expect(await calls.check("ada")).toMatchObject({ source: "denial-cache" });
    vi.setSystemTime(startMs - 3_600_000 + 5_000);
    expect(await calls.check("ada")).toMatchObject({ source: "owner" });
  });
});
