import { beforeEach, describe, expect, it, vi } from "vitest";
import { DENIAL_TRUST_MS } from "../../src/caller/denial-cache.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { ask, caller, check, isolate, nowMs, owners, useFreshIsolate } from "./fake-isolate.ts";

useFreshIsolate();

describe("the denial cache", () => {
  beforeEach(async () => {
    await check(ask({ cost: 8 }));
    expect(await check(ask({ cost: 3 }))).toMatchObject({ allowed: false, source: "owner" });
    owners.calls.length = 0;
  });

  it("denies the same cost and more without a call, and lets the owner decide on less", async () => {
    const cached = {
      allowed: false,
      remaining: 2,
      reason: "limited",
      source: "denial-cache",
      exact: true,
    };
    expect(await check(ask({ cost: 3 }))).toMatchObject(cached);
    expect(await check(ask({ cost: 9 }))).toMatchObject(cached);
    expect(owners.calls).toHaveLength(0);
    expect(await check(ask({ cost: 2 }))).toMatchObject({ allowed: true, source: "owner" });
  });

  it("counts its durations down", async () => {
    const before = await check(ask({ cost: 3 }));
    vi.advanceTimersByTime(1_234);
    const after = await check(ask({ cost: 3 }));
    expect((before?.retryAfterMs ?? 0) - (after?.retryAfterMs ?? 0)).toBe(1_234);
    expect((before?.resetMs ?? 0) - (after?.resetMs ?? 0)).toBe(1_234);
  });

  it("remembers for 5 s at most", async () => {
    vi.advanceTimersByTime(DENIAL_TRUST_MS - 300);
    expect(await check(ask({ cost: 3 }))).toMatchObject({ source: "denial-cache" });
    vi.advanceTimersByTime(300);
    expect(await check(ask({ cost: 3 }))).toMatchObject({ source: "owner" });
  });

  it("remembers for longer if its owner has given nothing back meanwhile", async () => {
    const [here, elsewhere] = [isolate(1), isolate(1)];
    const another = () => check(ask({}, { key: ["another"] }), here);
    await check(ask({ cost: 10 }), here);
    await check(ask(), here);
    for (let n = 0; n < 3; n++) {
      vi.advanceTimersByTime(DENIAL_TRUST_MS - 300);
      await another();
      expect(await check(ask(), here)).toMatchObject({ allowed: false, source: "denial-cache" });
    }
    await elsewhere.reset([ask()]);
    vi.advanceTimersByTime(DENIAL_TRUST_MS - 300);
    await another();
    expect(await check(ask(), here)).toMatchObject({ allowed: true, source: "owner" });
  });

  it("never outlives the denial", async () => {
    vi.setSystemTime(nowMs + 12 * 3_600_000 - 500);
    await check(ask({ cost: 2 }));
    expect(await check()).toMatchObject({ allowed: false, retryAfterMs: 500 });
    vi.advanceTimersByTime(499);
    expect(await check()).toMatchObject({ source: "denial-cache", retryAfterMs: 1 });
    vi.advanceTimersByTime(1);
    expect(await check()).toMatchObject({ allowed: true, remaining: 9, source: "owner" });
  });

  it("does not answer for another limit, policy or key", async () => {
    for (const other of [
      ask({ limit: 20, cost: 3 }),
      ask({ name: "other", cost: 3 }),
      ask({ cost: 3 }, { key: ["203.0.113.1"] }),
    ]) {
      expect(await check(other)).toMatchObject({ allowed: true, source: "owner" });
    }
  });
});

describe("what the denial cache leaves to owners", () => {
  it("asks again once any of several policies may have changed", async () => {
    const second = parsePolicy({ name: "second", limit: 4, window: "1s" });
    const day = parsePolicy({ name: "day", limit: 4, window: "1d" });
    const both = ask({}, { policies: [second, day] });
    for (let n = 0; n < 4; n++) await caller.check([both]);
    expect(await caller.check([both])).toMatchObject([{ decisions: [{ allowed: false }, {}] }]);
    vi.advanceTimersByTime(1_000);
    expect(await caller.check([both])).toMatchObject([
      {
        decisions: [
          { policy: "second", allowed: true, remaining: 4, source: "owner" },
          { policy: "day", allowed: false, remaining: 0 },
        ],
      },
    ]);
  });

  it("remembers a denial while the key passes under another policy", async () => {
    await check(ask({ cost: 8 }));
    expect(await check(ask({ cost: 3 }))).toMatchObject({ allowed: false, source: "owner" });
    expect(await check(ask({ name: "another" }))).toMatchObject({ source: "owner" });
    expect(await check(ask({ cost: 3 }))).toMatchObject({ source: "denial-cache" });
  });

  it("forgets a denial when a cheaper check has passed since", async () => {
    await check(ask({ cost: 8 }));
    await check(ask({ cost: 3 }));
    await check(ask({ cost: 2 }));
    expect(await check(ask({ cost: 3 }))).toMatchObject({ remaining: 0, source: "owner" });
  });

  it("does not take one region's denial for another's", async () => {
    await check(ask({ cost: 10 }));
    expect(await check()).toMatchObject({ allowed: false });
    const elsewhere = ask({}, { region: "oc" });
    expect(await check(elsewhere)).toMatchObject({ allowed: true, remaining: 9, source: "owner" });
  });

  it("does not keep a denial that was under way while the key was reset", async () => {
    await check(ask({ cost: 10 }));
    const { promise, resolve } = Promise.withResolvers();
    owners.misbehave = () => promise;
    const onItsWay = check();
    owners.misbehave = undefined;
    await caller.reset([ask()]);
    resolve(Float64Array.of(1, 0, 2, 0, 9, 9, 0));
    expect(await onItsWay).toMatchObject({ allowed: false });
    expect(await check()).toMatchObject({ allowed: true, remaining: 9 });
  });

  it("does not remember a denial that a freed slot may end", async () => {
    const question = ask({ algorithm: "concurrency", name: "a" });
    for (let n = 0; n < 11; n++) await check(question);
    expect(await check(question)).toMatchObject({ allowed: false, source: "owner" });
  });
});
