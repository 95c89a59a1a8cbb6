import { describe, expect, it, vi } from "vitest";
import { DENIAL_TRUST_MS } from "../../src/caller/denial-cache.ts";
import type { Question, Reply } from "../../src/caller/question.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { ask, caller, check, isolate, owners, useFreshIsolate } from "./fake-isolate.ts";

useFreshIsolate();

describe("the call that looks local", () => {
  it("asks one owner of the request's region, created there, never retried by the platform", async () => {
    expect(await check()).toMatchObject({
      allowed: true,
      policy: "default",
      limit: 10,
      remaining: 9,
      retryAfterMs: 0,
      delayMs: 0,
      reason: "ok",
      source: "owner",
      exact: true,
    });
    expect(owners.calls).toHaveLength(1);
    expect(owners.calls[0]?.owner).toMatch(/^weur\/[0-3]$/);
    expect(owners.options).toEqual([{ locationHint: "weur", retry: { maxRetries: 0 } }]);
  });

  it("asks the home region about keys of global scope, wherever the request came from", async () => {
    await check(ask({ scope: "global" }, { region: "oc" }));
    expect(owners.calls[0]?.owner).toMatch(/^sam\//);
  });

  it("asks each owner once about many keys and answers in order", async () => {
    const questions = Array.from({ length: 200 }, (_, n) =>
      ask({ limit: 1_000, cost: n + 1 }, { key: [`key ${n}`] }),
    );
    const replies = await caller.check(questions);
    expect(replies.map(({ decisions }) => 1_000 - (decisions[0]?.remaining ?? 0))).toEqual(
      questions.map((_, n) => n + 1),
    );
    expect(owners.calls.map(({ owner }) => owner).sort()).toEqual([
      "weur/0",
      "weur/1",
      "weur/2",
      "weur/3",
    ]);
  });

  it("tells an observer the decisions on checks, and nothing of other calls", async () => {
    const told: Reply[] = [];
    const requests: (readonly Reply[])[] = [];
    const observed = isolate(4, 30, {
      decided: (replies) => void told.push(...replies),
      requested: (replies) => void requests.push(replies),
    });
    const replies = await observed.check([ask({ cost: 10 }), ask({}, { key: ["other"] })]);
    await observed.peek([ask()]);
    const again = await observed.check([ask()]);
    expect(told).toEqual([...replies, ...again]);
    expect(requests).toEqual([replies, again]);
    requests.length = 0;
    const many = await observed.checkAllOrNone([
      [ask()],
      [ask({}, { key: ["c"] })],
      [ask(), ask()],
    ]);
    expect(requests).toEqual(many);
  });

  it("peeks without spending, past the denial cache", async () => {
    await check(ask({ cost: 10 }));
    await check();
    expect(await caller.peek([ask()])).toMatchObject([
      { decisions: [{ allowed: false, remaining: 0, source: "owner" }] },
    ]);
  });

  it("forgets a key on reset, in the denial cache too", async () => {
    await check(ask({ cost: 10 }));
    expect(await check()).toMatchObject({ allowed: false });
    expect(await check()).toMatchObject({ source: "denial-cache" });
    await caller.reset([ask()]);
    expect(await check()).toMatchObject({ allowed: true, remaining: 9 });
  });
});

describe("several questions taken together", () => {
  const inTwoRegions = () => [
    ask({ name: "near", limit: 5 }),
    ask({ name: "home", limit: 2, scope: "global" }),
  ];

  it("spend nothing if one is denied", async () => {
    for (let n = 0; n < 2; n++) await caller.checkAllOrNone([inTwoRegions()]);
    for (let n = 0; n < 3; n++) {
      vi.advanceTimersByTime(DENIAL_TRUST_MS);
      const [replies] = await caller.checkAllOrNone([inTwoRegions()]);
      expect(
        replies?.flatMap(({ decisions }) => decisions.map(({ allowed }) => allowed)),
      ).toContain(false);
    }
    const [near] = inTwoRegions();
    expect(await caller.peek([near as Question])).toMatchObject([
      { decisions: [{ remaining: 3 }] },
    ]);
  });

  it("ask again about a denial before it is forgotten, as a single question does", async () => {
    const [near, home] = inTwoRegions() as [Question, Question];
    const take = () => caller.checkAllOrNone([[near, { ...home, key: ["another"] }]]);
    for (let n = 0; n < 3; n++) await take();
    vi.advanceTimersByTime(DENIAL_TRUST_MS - 100);
    owners.calls.length = 0;
    for (let n = 0; n < 3; n++) await take();
    const renewing = owners.calls.filter(({ owner }) => owner.startsWith("sam/"));
    expect(renewing).toHaveLength(1);
    vi.advanceTimersByTime(DENIAL_TRUST_MS - 300);
    owners.calls.length = 0;
    await take();
    expect(owners.calls).toEqual([]);
  });

  it("remember a denial by one policy although the key passes under another", async () => {
    for (let n = 0; n < 3; n++) await caller.checkAllOrNone([inTwoRegions()]);
    owners.calls.length = 0;
    await caller.checkAllOrNone([inTwoRegions()]);
    expect(owners.calls).toEqual([]);
  });

  it("spend nothing in the fallback either", async () => {
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const denying = parsePolicy({ name: "strict", limit: 9, window: "1d", onFailure: "deny" });
    const counting = parsePolicy({ name: "lax", limit: 3, window: "1d" });
    for (let n = 0; n < 5; n++) await caller.check([ask({}, { policies: [counting, denying] })]);
    const [reply] = await caller.peek([ask({}, { policies: [counting] })]);
    expect(reply?.decisions[0]).toMatchObject({ remaining: 3, source: "fallback" });
  });
});
