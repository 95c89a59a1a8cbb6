import { beforeEach, describe, expect, it } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { MAX_CHECKS, MAX_GATHER_MS } from "../../src/caller/mode/background.ts";
import { LaterChecks } from "../../src/caller/mode/later-checks.ts";
import type { Observer, Question, Reply } from "../../src/caller/question.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { FakeTime, turn } from "../fake-runtime.ts";
import { FakeOwners } from "./fake-owners.ts";

let owners: FakeOwners;
let time: FakeTime;

beforeEach(() => {
  owners = new FakeOwners();
  time = new FakeTime();
  time.nowMs = Date.now();
});

function isolate(ownersPerRegion = 1, observer?: Omit<Observer, "called">): Caller {
  return new Caller({
    owners,
    ownersPerRegion,
    homeRegion: "sam",
    hashSecret: "secret",
    runtime: time.runtime,
    observer,
  });
}

function ask(change: Partial<PolicyInput> = {}, key = "one"): Question {
  const policy = parsePolicy({ limit: 10, window: "366d", mode: "after", ...change });
  return { key: [key], policies: [policy], region: "weur" };
}

/** Asks and completes checks as the middleware does. */
async function decide(caller: Caller, ...questions: Question[]): Promise<Reply[]> {
  const later = new LaterChecks(caller.background, questions);
  const asked = later.asked.length > 0 ? await time.until(caller.check(later.asked)) : [];
  return [...asked, ...later.complete(asked)];
}

async function decisionOf(caller: Caller, question = ask()) {
  const [reply] = await decide(caller, question);
  return reply?.decisions[0];
}

describe("a check that is counted later", () => {
  it("is answered without a call, and says that it is not exact", async () => {
    const caller = isolate();
    const expected = { allowed: true, limit: 10, source: "local", exact: false, reason: "ok" };
    expect(await decisionOf(caller)).toMatchObject({ ...expected, remaining: 9 });
    expect(await decisionOf(caller)).toMatchObject({ ...expected, remaining: 8 });
    expect(owners.calls).toEqual([]);
  });

  it("is told to an observer once, decided by the owner or here", async () => {
    const told: string[] = [];
    const requests: string[] = [];
    const sourcesOf = (replies: readonly Reply[]) =>
      replies.flatMap(({ decisions }) => decisions.map(({ source }) => source));
    const caller = isolate(1, {
      decided: (replies) => void told.push(...sourcesOf(replies)),
      requested: (replies) => void requests.push(sourcesOf(replies).join()),
    });
    const question = ask({ limit: 2 });
    for (let n = 0; n < 4; n++) {
      await decisionOf(caller, question);
      await time.pass(MAX_GATHER_MS);
    }
    expect(told).toEqual(["local", "local", "owner", "denial-cache"]);
    expect(requests).toEqual(told);
    requests.length = 0;
    await decide(caller, ask({ mode: "before" }, "a"), ask({ name: "b" }, "b"));
    await decide(caller, ask({}, "c"), ask({ name: "b" }, "b"));
    expect(requests).toEqual(["owner", "local,local"]);
  });

  it("is counted with others in one call to each owner, 50 ms after the first", async () => {
    const caller = isolate(4);
    for (let n = 0; n < 40; n++) await decisionOf(caller, ask({}, `client-${n}`));
    await time.pass(MAX_GATHER_MS - 1);
    expect(owners.calls).toEqual([]);
    await time.pass(1);
    expect(owners.calls.map(({ owner }) => owner).sort()).toEqual(
      [0, 1, 2, 3].map((number) => `weur/${number}`),
    );
    const [reply] = await caller.peek([ask({}, "client-7")]);
    expect(reply?.decisions[0]?.remaining).toBe(9);
  });

  it("is counted at once with the 100th, and once", async () => {
    const caller = isolate();
    const question = ask({ limit: 1_000 });
    for (let n = 0; n < MAX_CHECKS; n++) await decisionOf(caller, question);
    expect(owners.calls).toHaveLength(1);
    await time.pass(1_000);
    expect(owners.calls).toHaveLength(1);
    expect(await decisionOf(caller, question)).toMatchObject({ remaining: 899, source: "local" });
  });

  it("tells what the owner last said, less what is on its way", async () => {
    const [here, elsewhere] = [isolate(), isolate()];
    await decisionOf(here);
    for (let n = 0; n < 4; n++) await elsewhere.check([ask()]);
    await time.pass(MAX_GATHER_MS);
    expect((await decisionOf(here))?.remaining).toBe(4);
    expect((await decisionOf(here))?.remaining).toBe(3);
  });

  it("tells the limit that its owner last said, if an operator has overridden it", async () => {
    const caller = isolate();
    await time.until(caller.override(ask(), 50, 3_600_000));
    await decisionOf(caller);
    await time.pass(MAX_GATHER_MS);
    expect(await decisionOf(caller)).toMatchObject({ limit: 50, remaining: 48, source: "local" });
  });

  it("is asked about first if nothing is left, and never denied without an owner's word", async () => {
    const caller = isolate();
    for (let n = 0; n < 10; n++) await decisionOf(caller);
    await time.pass(MAX_GATHER_MS);
    const denied = { allowed: false, remaining: 0, exact: true };
    expect(await decisionOf(caller)).toMatchObject({ ...denied, source: "owner" });
    expect(await decisionOf(caller)).toMatchObject({ ...denied, source: "denial-cache" });
    expect(owners.calls).toHaveLength(2);
  });

  it("never exceeds the limit if one isolate makes all checks", async () => {
    const caller = isolate();
    const decisions = [];
    for (let n = 0; n < 30; n++) decisions.push(await decisionOf(caller));
    expect(decisions.filter((decision) => decision?.allowed)).toHaveLength(10);
  });

  it("passes again once its owner says that units came back", async () => {
    const caller = isolate();
    for (let n = 0; n < 10; n++) await decisionOf(caller);
    await time.pass(MAX_GATHER_MS);
    await caller.refund([{ question: ask() }]);
    await caller.refund([{ question: ask() }]);
    expect(await decisionOf(caller)).toMatchObject({
      allowed: true,
      remaining: 1,
      source: "owner",
    });
    expect(await decisionOf(caller)).toMatchObject({
      allowed: true,
      remaining: 0,
      source: "local",
    });
  });

  it("is never denied in shadow", async () => {
    const caller = isolate();
    const question = ask({ shadow: true, limit: 1 });
    expect(await decisionOf(caller, question)).toMatchObject({ reason: "ok" });
    expect(await decisionOf(caller, question)).toMatchObject({ allowed: true, reason: "shadow" });
    expect(owners.calls).toEqual([]);
  });

  it("is paid by a lease of a hot key", async () => {
    const caller = isolate();
    const question = ask({ limit: 1_000, lease: 0.1 });
    for (let n = 0; n < 5; n++) {
      await decisionOf(caller, question);
      await time.pass(MAX_GATHER_MS);
    }
    const calls = owners.calls.length;
    expect(await decisionOf(caller, question)).toMatchObject({ source: "lease", exact: false });
    await time.pass(MAX_GATHER_MS);
    expect(owners.calls).toHaveLength(calls);
  });
});

describe("an owner that fails", () => {
  it.each([
    ["local", { allowed: true, source: "fallback", reason: "ok" }],
    ["allow", { allowed: true, source: "fallback", reason: "failed" }],
    ["deny", { allowed: false, source: "fallback", reason: "failed" }],
  ] as const)("has onFailure %j decide, until it answers", async (onFailure, decision) => {
    const caller = isolate();
    const question = ask({ onFailure });
    owners.misbehave = () => Promise.reject(new Error("gone"));
    expect(await decisionOf(caller, question)).toMatchObject({ source: "local" });
    await time.pass(MAX_GATHER_MS);
    await turn();
    expect(await decisionOf(caller, question)).toMatchObject({ ...decision, exact: false });
    owners.misbehave = undefined;
    await time.pass(5_000);
    expect(await decisionOf(caller, question)).toMatchObject({ source: "owner" });
    expect(await decisionOf(caller, question)).toMatchObject({ source: "local" });
  });
});

describe("with other policies", () => {
  const strict = (limit: number) => ask({ name: "strict", mode: "before", limit });

  it("it is counted only if the policies that are asked allow the request", async () => {
    const caller = isolate();
    await decide(caller, strict(1), ask());
    const replies = await decide(caller, strict(1), ask());
    expect(replies.flatMap(({ decisions }) => decisions)).toMatchObject([{ policy: "strict" }]);
    await time.pass(MAX_GATHER_MS);
    const [reply] = await caller.peek([ask()]);
    expect(reply?.decisions[0]?.remaining).toBe(9);
  });

  it("a known denial keeps the other policies from being asked", async () => {
    const caller = isolate();
    await caller.check([ask({ limit: 1 })]);
    await caller.check([ask({ limit: 1 })]);
    const calls = owners.calls.length;
    const replies = await decide(caller, strict(5), ask({ limit: 1 }));
    expect(replies.flatMap(({ decisions }) => decisions)).toMatchObject([
      { policy: "default", allowed: false },
    ]);
    expect(owners.calls).toHaveLength(calls);
  });
});
