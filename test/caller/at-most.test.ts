/** What is left of a cost, taken through the library and the API. */
import { describe, expect, it, vi } from "vitest";
import { evenOutAll, upTo } from "../../src/caller/at-most.ts";
import { Caller } from "../../src/caller/caller.ts";
import type { Question } from "../../src/caller/question.ts";
import { limiter } from "../../src/index.ts";
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { WORKERS } from "../../src/runtime.ts";
import { answer, fresh, post } from "../http/api-client.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { FakeOwners } from "./fake-owners.ts";

const now = useStoppedClock();

function isolate(owners = new FakeOwners()) {
  const options = { ownersPerRegion: 1, homeRegion: "weur", hashSecret: "secret" } as const;
  return { owners, caller: new Caller({ ...options, owners, runtime: WORKERS }) };
}

function ask(cost: number, change: Partial<PolicyInput> = {}, key = "a client"): Question {
  const policy = parsePolicy({ limit: 10, window: "1m", ...change });
  return { key: [key], policies: [upTo(policy, cost)], region: "weur" };
}

describe("the library", () => {
  it("takes what is left, says how much, and gives that back", async () => {
    const bytes = limiter({ name: "bytes", limit: 1_000, window: "1m" });
    const options = { cost: 700, atMost: true };
    expect(await bytes.peek("a", options)).toMatchObject({ taken: 700, remaining: 1_000 });
    expect(await bytes.check("a", options)).toMatchObject({ taken: 700, remaining: 300 });
    const rest = await bytes.check("a", options);
    expect(rest).toMatchObject({ allowed: true, taken: 300, remaining: 0, retryAfterMs: 0 });
    const denied = await bytes.check("a", options);
    expect(denied).toMatchObject({ allowed: false, taken: 0, remaining: 0, reason: "limited" });
    expect(await bytes.refund("a", { cost: 300 })).toMatchObject({ remaining: 300 });
    expect(await bytes.check("a", { cost: 301 })).toMatchObject({ allowed: false, remaining: 300 });
    expect(await bytes.check("a", options)).toMatchObject({ allowed: true, taken: 300 });
  });

  it("takes what is left of a cost that could never pass, and refuses it without atMost", async () => {
    const few = limiter({ name: "few", limit: 10, window: "1m" });
    expect(await few.check("a", { cost: 1_000_000, atMost: true })).toMatchObject({ taken: 10 });
    await expect(few.check("a", { cost: 11 })).rejects.toThrow("cost must be at most 10");
    const wrong = { cost: 1, atMost: "yes" as unknown as boolean };
    await expect(few.check("a", wrong)).rejects.toThrow('atMost must be true or false, got "yes"');
    expect(await few.check("b")).not.toHaveProperty("taken");
  });
});

describe("the API", () => {
  it("takes the least that several policies leave", async () => {
    const key = fresh();
    const several = {
      key,
      policies: [
        { limit: 10, window: "60s" },
        { limit: 4, window: "1h" },
      ],
      cost: 7,
      atMost: true,
    };
    expect(await answer(post("/peek", several))).toMatchObject({ allowed: true, taken: 4 });
    expect(await answer(post("/check", several))).toMatchObject({ taken: 4, remaining: 0 });
    expect(await answer(post("/check", several))).toMatchObject({ allowed: false, taken: 0 });
    const minute = { key, limit: 10, window: "60s" };
    expect(await answer(post("/peek", minute))).toMatchObject({ remaining: 6 });
  });

  it("takes the same under policies with two owners", async () => {
    const { caller } = isolate();
    const here = ask(9, { name: "here", limit: 5, scope: "global" });
    const there = ask(9, { name: "there", limit: 8, scope: "region" });
    const both = [here, { ...there, region: "apac" as const }];
    const { even, surplus } = evenOutAll(await caller.checkAllOrNone([both]));
    await caller.undo(surplus);
    expect(even.flat().flatMap(({ decisions }) => decisions)).toMatchObject([
      { policy: "here", taken: 5, remaining: 0 },
      { policy: "there", taken: 5, remaining: 3 },
    ]);
    const [left] = await caller.peek([both[1] as Question]);
    expect(left?.decisions[0]?.remaining).toBe(3);
    const again = evenOutAll(await caller.checkAllOrNone([both]));
    expect(again.surplus).toEqual([]);
    const [after] = await caller.peek([both[1] as Question]);
    expect(after?.decisions[0]?.remaining).toBe(3);
  });

  it("needs a cost, and a true or false", async () => {
    const key = fresh();
    const policy = { key, limit: 10, window: "60s" };
    expect(await answer(post("/check", { ...policy, atMost: true }))).toMatchObject({
      detail: 'cost is required where "atMost" is true, got nothing',
      field: "cost",
    });
    expect(await answer(post("/check", { ...policy, atMost: 1 }))).toMatchObject({
      detail: "atMost must be true or false, got 1",
    });
    const more = { ...policy, cost: 11, atMost: true };
    expect(await answer(post("/check", more))).toMatchObject({ allowed: true, taken: 10 });
    const plain = await answer(post("/check", { key: fresh(), limit: 10, window: "60s" }));
    expect(plain).not.toHaveProperty("taken");
  });
});

describe("a caller", () => {
  it("takes no less for a policy in shadow, which counts only an amount that fits whole", async () => {
    const { caller } = isolate();
    const [enforced] = ask(9, { name: "enforced" }).policies;
    const trialOf = (cost: number) => ask(cost, { name: "trial", limit: 2, shadow: true });
    const trial = trialOf(9);
    const taken = async (question: Question) => (await caller.check([question]))[0]?.decisions;
    const both = { ...trial, policies: [...trial.policies, enforced as Policy] };
    expect(await taken(both)).toMatchObject([
      { policy: "trial", taken: 9, reason: "shadow", remaining: 2 },
      { policy: "enforced", taken: 9, reason: "ok", remaining: 1 },
    ]);
    expect(await taken(both)).toMatchObject([
      { taken: 1, reason: "ok", remaining: 1 },
      { taken: 1, reason: "ok", remaining: 0 },
    ]);
    expect(await taken(trial)).toMatchObject([{ taken: 9, reason: "shadow", remaining: 1 }]);
    expect(await taken(trialOf(1))).toMatchObject([{ taken: 1, reason: "ok", remaining: 0 }]);
  });

  it("gives back what was taken, and no more", async () => {
    const { caller } = isolate();
    await caller.check([ask(7)]);
    const replies = await caller.check([ask(7)]);
    expect(replies[0]?.decisions).toMatchObject([{ taken: 3, remaining: 0 }]);
    await caller.undo(replies);
    const [left] = await caller.peek([ask(1)]);
    expect(left?.decisions[0]?.remaining).toBe(3);
  });

  it("remembers that nothing is left, but not for a check that takes what is left", async () => {
    const { caller, owners } = isolate();
    const whole = { ...ask(7), policies: [parsePolicy({ limit: 10, window: "1m", cost: 7 })] };
    await caller.check([whole]);
    expect((await caller.check([whole]))[0]?.decisions[0]?.allowed).toBe(false);
    expect((await caller.check([ask(7)]))[0]?.decisions).toMatchObject([{ taken: 3 }]);
    expect((await caller.check([ask(7)]))[0]?.decisions).toMatchObject([{ taken: 0 }]);
    const calls = owners.calls.length;
    const [remembered] = await caller.check([ask(7)]);
    expect(remembered?.decisions).toMatchObject([
      { allowed: false, taken: 0, source: "denial-cache" },
    ]);
    expect(owners.calls.length).toBe(calls);
  });

  it("takes what the owner has left, and nothing of a lease", async () => {
    const { caller } = isolate();
    const leased = { limit: 100, lease: 0.2 };
    const one = { ...ask(1), policies: [parsePolicy({ limit: 100, window: "1m", lease: 0.2 })] };
    let passed = 0;
    for (let n = 0; n < 6; n++) {
      const [reply] = await caller.check([one]);
      if (reply?.decisions[0]?.allowed) passed++;
    }
    const [reply] = await caller.check([ask(100, leased)]);
    const taken = reply?.decisions[0]?.taken as number;
    expect(reply?.decisions[0]?.source).toBe("owner");
    for (let n = 0; n < 200; n++) {
      const [more] = await caller.check([one]);
      if (more?.decisions[0]?.allowed) passed++;
    }
    expect(taken + passed).toBe(100);
  });

  it("counts by itself if the owner is silent, as the policy says", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { caller, owners } = isolate();
    owners.misbehave = () => {
      throw new Error("gone");
    };
    const taken = async (question: Question) => {
      const [reply] = await caller.check([question]);
      return reply?.decisions[0];
    };
    expect(await taken(ask(7))).toMatchObject({ taken: 7, source: "fallback", exact: false });
    expect(await taken(ask(7))).toMatchObject({ taken: 3, remaining: 0 });
    expect(await taken(ask(7))).toMatchObject({ allowed: false, taken: 0 });
    expect(await taken(ask(7, { onFailure: "allow" }, "b"))).toMatchObject({ taken: 7 });
    expect(await taken(ask(7, { onFailure: "deny" }, "c"))).toMatchObject({ taken: 0 });
  });

  it("reads an answer of an earlier version as all taken, or nothing", async () => {
    const { caller, owners } = isolate();
    const numbers = (reason: number, remaining: number, retryAfterMs: number) =>
      Float64Array.of(now(), 1, reason, remaining, 60_000, retryAfterMs, 0);
    owners.misbehave = () => numbers(0, 3, 0);
    expect((await caller.check([ask(7)]))[0]?.decisions).toMatchObject([{ taken: 7 }]);
    owners.misbehave = () => numbers(2, 3, 60_000);
    expect((await caller.check([ask(7)]))[0]?.decisions).toMatchObject([
      { allowed: false, taken: 0 },
    ]);
  });
});
