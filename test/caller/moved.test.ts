import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import type { Question, Reply } from "../../src/caller/question.ts";
import type { Decision } from "../../src/limit/decision.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { encodeAnswer } from "../../src/protocol/wire-answer.ts";
import type { Region } from "../../src/ring/region.ts";
import { WORKERS } from "../../src/runtime.ts";

const POLICY = parsePolicy({ limit: 10, window: "366d" });
const KEYS = Array.from({ length: 60 }, (_, n) => `key-${n}`);

/** Makes a new isolate's caller, which knows only the configured ring. */
function isolate(ownersPerRegion = 2): Caller {
  return new Caller({
    owners: env.TURNPIKE_OWNERS,
    runtime: WORKERS,
    ownersPerRegion,
    homeRegion: "sam",
    hashSecret: "secret",
    deadlineMs: 5_000,
  });
}

function questions(region: Region, keys = KEYS, change = {}): Question[] {
  return keys.map((key) => ({ key: [key], policies: [{ ...POLICY, ...change }], region }));
}

const remaining = (replies: Reply[]) => replies.map(({ decisions }) => decisions[0]?.remaining);

/** Reduces a region's ring to `owners` owners, and returns the region's membership object. */
async function ring(region: Region, owners = 2) {
  const membership = env.TURNPIKE_MEMBERSHIP.getByName(region);
  const settle = async () => {
    while ((await membership.status(true))?.settling) await scheduler.wait(5);
  };
  for (const { name } of (await membership.status(true))?.owners.slice(owners) ?? []) {
    await membership.remove(name);
    await settle();
  }
  return { membership, settle };
}

/** Spies on calls to owners. Returns how many calls each has got since. */
function counted(): Map<string, number> {
  const calls = new Map<string, number>();
  const { getByName } = env.TURNPIKE_OWNERS;
  vi.spyOn(env.TURNPIKE_OWNERS, "getByName").mockImplementation((name, options) => {
    calls.set(name, (calls.get(name) ?? 0) + 1);
    return getByName.call(env.TURNPIKE_OWNERS, name, options);
  });
  return calls;
}

// Owners that join and leave are logged.
beforeEach(() => void vi.spyOn(console, "log").mockImplementation(() => {}));
afterEach(() => vi.restoreAllMocks());

describe("a caller whose ring is old", () => {
  it("learns the new ring from the owners, and asks where the keys are now", async () => {
    const { membership, settle } = await ring("enam");
    const stale = isolate();
    await stale.check(questions("enam", KEYS, { cost: 4 }));
    await membership.add();
    await settle();
    const calls = counted();
    const replies = await stale.check(questions("enam", KEYS, { cost: 2 }));
    expect(new Set(remaining(replies))).toEqual(new Set([4]));
    expect(replies.every(({ decisions }) => decisions[0]?.source === "owner")).toBe(true);
    expect([...calls].sort()).toEqual([
      ["enam/0", 1],
      ["enam/1", 1],
      ["enam/2", 1],
    ]);
    calls.clear();
    await stale.check(questions("enam"));
    expect([...calls.values()]).toEqual([1, 1, 1]);
  });

  it("splits a shared call if some of its keys have moved", async () => {
    const { membership, settle } = await ring("sam");
    const stale = isolate();
    await stale.check(questions("sam", KEYS, { cost: 4 }));
    await membership.add();
    await settle();
    const calls = counted();
    const each = questions("sam").map((question) => stale.check([question]));
    expect(new Set(remaining((await Promise.all(each)).flat()))).toEqual(new Set([5]));
    const total = [...calls.values()].reduce((sum, count) => sum + count);
    expect(total).toBeLessThan(KEYS.length / 2);
  });

  it("returns from a ring that never existed", async () => {
    await ring("me");
    await isolate().check(questions("me"));
    const { getByName } = env.TURNPIKE_OWNERS;
    const lie = { version: 1_000, owners: ["me/1", "me/5"], lost: [] };
    const told = encodeAnswer({
      atMs: 0,
      epoch: 0,
      verdicts: KEYS.map(() => undefined),
      ring: lie,
    });
    const led = isolate(1);
    const refused: string[] = [];
    const spy = vi.spyOn(env.TURNPIKE_OWNERS, "getByName").mockImplementation((name, options) => {
      const stub = getByName.call(env.TURNPIKE_OWNERS, name, options);
      return name === "me/0" && spy.mock.calls.length === 1
        ? ({ check: async () => told } as unknown as typeof stub)
        : stub;
    });
    vi.spyOn(console, "error").mockImplementation((line) => void refused.push(String(line)));
    const replies = await led.check(questions("me"));
    expect(replies.every(({ decisions }) => decisions[0]?.source === "owner")).toBe(true);
    expect(new Set(remaining(replies))).toEqual(new Set([8]));
    // The caller had believed that ring, and asked an owner by it.
    expect(refused[0]).toContain('"ring-refused"');
  });

  it("counts exactly during changes, for callers with any ring", async () => {
    const { membership, settle } = await ring("weur");
    const callers = [isolate(), isolate(2), isolate(7)];
    const allowed = new Map<string, number>();
    let isOver = false;
    const traffic = callers.map(async (caller, n) => {
      for (let at = n; !isOver; at += 7) {
        const keys = [0, 1, 2, 3].map((step) => KEYS[(at + step * 17) % KEYS.length] as string);
        const replies = await caller.check(questions("weur", keys));
        for (const [place, { decisions }] of replies.entries()) {
          expect(decisions[0]).toMatchObject({ exact: true });
          const key = keys[place] as string;
          if (decisions[0]?.allowed) allowed.set(key, (allowed.get(key) ?? 0) + 1);
        }
        await scheduler.wait(0);
      }
    });
    for (const change of ["add", "add", "weur/0", "add", "weur/2", "weur/1"]) {
      if (change === "add") await membership.add();
      else await membership.remove(change);
      await settle();
    }
    isOver = true;
    await Promise.all(traffic);
    const [caller] = callers as [Caller];
    const rest = await caller.peek(questions("weur"));
    for (const [at, key] of KEYS.entries()) {
      expect((allowed.get(key) ?? 0) + (remaining(rest)[at] ?? 0)).toBe(10);
    }
  });

  it("spends what it leased before a change, and never more than the limit in all", async () => {
    const { membership, settle } = await ring("oc");
    const [holder, other] = [isolate(), isolate()];
    const ask = async (caller: Caller) => {
      const hot = questions("oc", ["hot"], { limit: 100, capacity: 100, lease: 0.1 });
      const [reply] = await caller.check(hot);
      return reply?.decisions[0] as Decision;
    };
    const before: Decision[] = [];
    while (before.at(-1)?.source !== "lease") before.push(await ask(holder));
    await membership.add();
    await settle();
    // After two changes that the isolate missed, another owner may have held the key and reset it.
    await holder.peek(questions("oc"));
    before.push(await ask(holder));
    await membership.remove("oc/0");
    await settle();
    const after: Decision[] = [];
    for (let n = 0; n < 150; n++) after.push(await ask(n % 3 === 0 ? other : holder));
    expect(after[1]?.source).toBe("lease");
    expect([...before, ...after].filter(({ allowed }) => allowed)).toHaveLength(100);
  });

  it("keeps its denials right, and resets and blocks a key wherever it is now", async () => {
    const { membership, settle } = await ring("apac");
    const [stale, other] = [isolate(), isolate()];
    await stale.check(questions("apac", KEYS, { cost: 10 }));
    await stale.check(questions("apac"));
    await membership.add();
    await settle();
    const denied = await stale.check(questions("apac"));
    expect(denied.every(({ decisions }) => decisions[0]?.allowed === false)).toBe(true);
    await other.reset(questions("apac"));
    expect(new Set(remaining(await isolate().peek(questions("apac"))))).toEqual(new Set([10]));
    await isolate().block(["key-7"], 60_000);
    const [reply] = await isolate().check(questions("apac", ["key-7"]));
    expect(reply?.decisions[0]).toMatchObject({ allowed: false, reason: "blocked" });
    const calls = counted();
    const explained = await stale.explain(questions("apac"));
    expect(explained.map(({ policies }) => policies[0]?.remaining)).toEqual(KEYS.map(() => 10));
    expect(explained[7]?.blockedMs).toBeGreaterThan(0);
    expect(new Set(explained.map(({ owner }) => owner))).toEqual(
      new Set(["apac/0", "apac/1", "apac/2"]),
    );
    expect(explained[0]?.ringVersion).toBe(4);
    expect(calls.size).toBe(3);
    calls.clear();
    const many = Array.from({ length: 1_000 }, (_, n) => `many ${n}`);
    expect(await isolate().explain(questions("apac", many))).toHaveLength(1_000);
    expect([...calls.values()].reduce((sum, each) => sum + each)).toBeLessThan(25);
  });
});
