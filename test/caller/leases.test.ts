import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { RUNTIME } from "../../src/caller/platform.ts";
import type { Question } from "../../src/caller/question.ts";
import { type PolicyInput, parsePolicy } from "../../src/limit/policy.ts";
import { FakeOwners } from "./fake-owners.ts";

let owners: FakeOwners;

function isolate(): Caller {
  return new Caller({
    owners,
    ownersPerRegion: 1,
    homeRegion: "sam",
    hashSecret: "secret",
    platform: RUNTIME,
  });
}

function ask(change: Partial<PolicyInput> = {}, key = "hot"): Question {
  const policy = parsePolicy({ limit: 100, window: "1m", lease: 0.1, ...change });
  return { key: [key], policies: [policy], region: "weur" };
}

async function decide(caller: Caller, question = ask()) {
  const [reply] = await caller.check([question]);
  return reply?.decisions[0];
}

/** Spends until denied, by several isolates in turn, and returns how many passed. */
async function drain(callers: Caller[], question = ask()): Promise<number> {
  let passed = 0;
  for (let n = 0; n < 400; n++) {
    const caller = callers[n % callers.length] as Caller;
    if ((await decide(caller, question))?.allowed) passed++;
  }
  return passed;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2036, 10, 22, 12) });
  owners = new FakeOwners();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a lease", () => {
  it("pays for the requests of a hot key without a call, and says it is not exact", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const calls = owners.calls.length;
    expect(await decide(caller)).toMatchObject({
      allowed: true,
      remaining: 95,
      source: "lease",
      exact: false,
    });
    for (let n = 0; n < 9; n++) expect(await decide(caller)).toMatchObject({ source: "lease" });
    expect(owners.calls.length).toBe(calls);
    expect(await decide(caller)).toMatchObject({ source: "owner" });
  });

  it("is not handed to keys that are not hot, nor where the policy does not ask for it", async () => {
    const caller = isolate();
    for (let n = 0; n < 50; n++) {
      expect(await decide(caller, ask({}, `key ${n}`))).toMatchObject({ source: "owner" });
      expect(await decide(caller, ask({ lease: 0, name: "none" }))).toMatchObject({ exact: true });
    }
  });

  it("lets exactly the limit pass in one isolate", async () => {
    expect(await drain([isolate()])).toBe(100);
    expect(owners.calls.length).toBeLessThan(40);
  });

  it("never lets more than the limit pass, whatever the isolates hold", async () => {
    const passed = await drain([isolate(), isolate(), isolate(), isolate()]);
    expect(passed).toBe(100);
    const [, unused] = [await drain([isolate()]), await drain([isolate()])];
    expect(unused).toBe(0);
  });

  it("ends with its window, and the next begins whole", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    vi.advanceTimersByTime(59_960);
    expect(await decide(caller)).toMatchObject({ source: "owner" });
    vi.advanceTimersByTime(40);
    expect(await decide(caller)).toMatchObject({ source: "owner", remaining: 99 });
    expect(await drain([caller])).toBe(99);
  });

  it("is spent in parallel no further than it reaches", async () => {
    const caller = isolate();
    const replies = await Promise.all(Array.from({ length: 300 }, () => caller.check([ask()])));
    const more = await drain([caller]);
    const passed = replies.flat().filter(({ decisions }) => decisions[0]?.allowed).length;
    expect(passed + more).toBe(100);
  });

  it("ends with a reset, a refund, or another limit", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    expect(await decide(caller, ask({ limit: 50 }))).toMatchObject({ source: "owner" });
    await caller.reset([ask()]);
    expect(await decide(caller)).toMatchObject({ source: "owner", remaining: 99 });
  });

  it("is put back where another policy denies", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const none = ask({ name: "none", limit: 1, lease: 0, scope: "global" }, "other");
    await caller.take([[ask(), none]]);
    const before = (await decide(caller))?.remaining as number;
    vi.advanceTimersByTime(6_000);
    await caller.take([[ask(), none]]);
    expect((await decide(caller))?.remaining).toBe(before - 1);
  });

  it("pays only where its policy is the only one, so that no other goes uncounted", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const leased = ask();
    const other = parsePolicy({ name: "other", limit: 2, window: "1m" });
    const both = { ...leased, policies: [...leased.policies, other] };
    const passed: boolean[] = [];
    for (let n = 0; n < 4; n++) {
      const [reply] = await caller.check([both]);
      expect(reply?.decisions).toHaveLength(2);
      passed.push(reply?.decisions.every(({ allowed }) => allowed) ?? false);
    }
    expect(passed).toEqual([true, true, false, false]);
  });

  it("ends with a block", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    await caller.block(["hot"], 60_000);
    expect(await decide(caller)).toMatchObject({ allowed: false, reason: "blocked" });
  });
});
