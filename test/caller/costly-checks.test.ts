/**
 * Checks that cost more than a policy lets pass at once: a mistake, unless an override allows it.
 */
import type { Context } from "hono";
import { describe, expect, it } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { isolateCaller } from "../../src/caller/isolate.ts";
import type { Question } from "../../src/caller/question.ts";
import { type LimiterOptions, limiter } from "../../src/index.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { WORKERS } from "../../src/runtime.ts";
import { answer, fresh, post, send } from "../http/api-client.ts";
import { appWith } from "../http/policy-app.ts";
import { FakeOwners } from "./fake-owners.ts";

const TOO_COSTLY = "cost must be at most 10, the most that";
const limiterOf = (options: Partial<LimiterOptions> = {}) =>
  limiter({ name: fresh(), limit: 10, window: "1d", ...options });

function ask(cost: number, change: Partial<PolicyInput> = {}): Question {
  const policy = parsePolicy({ limit: 10, window: "1d", ...change });
  return { key: ["a client"], policies: [{ ...policy, cost }], region: "weur" };
}

function isolate(owners = new FakeOwners()) {
  const options = { ownersPerRegion: 1, homeRegion: "weur", hashSecret: "secret" } as const;
  return { owners, caller: new Caller({ ...options, owners, runtime: WORKERS }) };
}

describe("a cost above the limit", () => {
  it("passes in the library if an override allows it", async () => {
    const calls = limiterOf();
    await calls.override("ada", 100, "1h");
    expect(await calls.peek("ada", { cost: 60 })).toMatchObject({ allowed: true, limit: 100 });
    expect(await calls.check("ada", { cost: 60 })).toMatchObject({ remaining: 40, limit: 100 });
    const denied = await calls.check("ada", { cost: 60 });
    expect(denied).toMatchObject({ allowed: false, reason: "limited", remaining: 40 });
    await expect(calls.check("ada", { cost: 101 })).rejects.toThrow("cost must be at most 100");
    await expect(calls.check("bob", { cost: 60 })).rejects.toThrow(TOO_COSTLY);
    await calls.override("ada", "unlimited", "1h");
    expect(await calls.check("ada", { cost: 1_000_000 })).toMatchObject({ allowed: true });
    await calls.clearOverride("ada");
    await expect(calls.check("ada", { cost: 60 })).rejects.toThrow(TOO_COSTLY);
    // The cost is given back all the same, as far as it is spent.
    expect(await calls.refund("ada", { cost: 60 })).toMatchObject({ remaining: 10 });
  });

  it.each(Object.keys(ALGORITHMS) as AlgorithmName[])("passes under %s", async (algorithm) => {
    const calls = limiterOf({ algorithm });
    await calls.override("ada", 50, "1h");
    expect(await calls.check("ada", { cost: 50 })).toMatchObject({ allowed: true, remaining: 0 });
    expect(await calls.check("ada", { cost: 50 })).toMatchObject({ allowed: false });
    await expect(calls.check("ada", { cost: 51 })).rejects.toThrow("cost must be at most 50");
    await calls.override("ada", "unlimited", "1h");
    expect(await calls.check("ada", { cost: 20_000 })).toMatchObject({ allowed: true });
  });

  it("is reserved, and taken in part, if an override allows it", async () => {
    const calls = limiterOf();
    await expect(calls.reserve("ada", 60)).rejects.toThrow("amount must be at most 10");
    await calls.override("ada", 100, "1h");
    const { settle, ...reserved } = await calls.reserve("ada", 60);
    expect(reserved).toMatchObject({ allowed: true, remaining: 40 });
    expect(await settle(30)).toMatchObject({ was: "live", remaining: 70 });
    const most = { cost: 1_000, atMost: true };
    expect(await calls.check("ada", most)).toMatchObject({ taken: 70, remaining: 0 });
    expect(await calls.check("bob", most)).toMatchObject({ taken: 10, remaining: 0 });
  });

  it("never blocks the key", async () => {
    const calls = limiterOf({ blockFor: "1h" });
    await expect(calls.check("ada", { cost: 11 })).rejects.toThrow(TOO_COSTLY);
    expect(await calls.check("ada", { cost: 10 })).toMatchObject({ allowed: true });
  });

  it("costs one call in 5 s, however high it is", async () => {
    const { caller, owners } = isolate();
    for (const cost of [1_000, 500, 11, 12, 1_000_000]) {
      await expect(caller.costly.requirePossible([ask(cost)])).rejects.toThrow(TOO_COSTLY);
    }
    expect(owners.calls).toHaveLength(1);
    await caller.costly.requirePossible([ask(10), ask(11, { shadow: true })]);
    expect(owners.calls).toHaveLength(1);
  });

  it("follows onFailure if its owner does not answer", async () => {
    const { caller, owners } = isolate();
    owners.misbehave = () => {
      throw new Error("gone");
    };
    for (const [onFailure, allowed] of [
      ["local", false],
      ["allow", true],
      ["deny", false],
    ] as const) {
      const asked = [ask(11, { onFailure })];
      await caller.costly.requirePossible(asked);
      const [reply] = await caller.check(asked);
      expect(reply?.decisions[0]).toMatchObject({ allowed, source: "fallback" });
    }
  });
});

describe("the API", () => {
  it("lets it pass if an override allows it, else names the check and counts nothing", async () => {
    const [key, other] = [fresh(), fresh()];
    const check = { key, policy: "day", cost: 60 };
    expect(await answer(post("/check", check))).toMatchObject({
      field: "cost",
      detail: 'cost must be at most 10, the most that "day" lets pass at once, got 60',
    });
    await send("PUT", "/overrides", { key, policy: "day", limit: 100, duration: "1h" });
    expect(await answer(post("/check", check))).toMatchObject({ limit: 100, remaining: 40 });
    expect(await answer(post("/reserve", { key, policy: "day", amount: 30 }))).toMatchObject({
      allowed: true,
      remaining: 10,
    });
    const checks = [
      { key, policy: "day" },
      { ...check, key: other },
    ];
    for (const call of ["/check", "/peek"]) {
      const refused = await post(call, { checks });
      expect(refused.status).toBe(400);
      expect(await answer(refused)).toMatchObject({ field: "checks[1].cost" });
    }
    expect(await answer(post("/peek", { key, policy: "day" }))).toMatchObject({ remaining: 10 });
  });
});

describe("a request", () => {
  it.each([{}, { mode: "alongside" }, { mode: "after" }, { maxWait: "30s" }] as const)(
    "passes where an override of its key allows its cost, with %o",
    async (change) => {
      const name = fresh();
      const cost = (c: Context) => Number(c.req.query("cost"));
      const policy = { name, limit: 10, window: "1d", scope: "global" } as const;
      const sent = appWith({ ...policy, cost, ...change });
      expect((await sent({ path: "/?cost=60" })).status).toBe(400);
      const overridden = { ...ask(1, policy), key: ["192.0.2.2"] };
      await isolateCaller().override(overridden, 100, 3_600_000);
      const { status, headers } = await sent({ ip: "192.0.2.2", path: "/?cost=60" });
      expect(status).toBe(200);
      expect(headers.get("RateLimit-Policy")).toContain("q=100");
      expect((await sent({ ip: "192.0.2.2", path: "/?cost=101" })).status).toBe(400);
    },
  );

  it("passes if an override allows its fixed cost, which is above a function's limit", async () => {
    const policy = { name: fresh(), limit: 10, window: "1d", scope: "global" } as const;
    const sent = appWith({ ...policy, limit: () => 10, cost: 60 });
    expect((await sent({ ip: "192.0.2.3" })).status).toBe(400);
    await isolateCaller().override({ ...ask(1, policy), key: ["192.0.2.4"] }, 100, 3_600_000);
    expect((await sent({ ip: "192.0.2.4" })).status).toBe(200);
    expect((await sent({ ip: "192.0.2.4" })).status).toBe(429);
  });
});
