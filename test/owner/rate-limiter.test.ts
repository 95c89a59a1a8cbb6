import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Check } from "../../src/counters/check.ts";
import { logKey } from "../../src/owner/checkpoint/format.ts";
import { askObject } from "./ask-object.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

function freshOwner() {
  return env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
}

function check(hi = 1, cost = 1, limit = 10): Check {
  return { key: { hi, lo: 7 }, policies: [{ ...TEN_A_DAY, limit, capacity: limit, cost }] };
}

async function spendInParallel(calls: number, limit: number): Promise<number> {
  const owner = freshOwner();
  const answers = await Promise.all(
    Array.from({ length: calls }, () => askObject(owner, "check", [check(1, 1, limit)])),
  );
  return answers.filter(({ verdicts }) => verdicts[0]?.[0]?.allowed).length;
}

describe("the RateLimiter object", () => {
  it("allows exactly 10 of 90 checks in parallel at limit 10", async () => {
    expect(await spendInParallel(90, 10)).toBe(10);
  });

  it("allows exactly 1 of 25 checks in parallel at limit 1", async () => {
    expect(await spendInParallel(25, 1)).toBe(1);
  });

  it("keeps different keys apart", async () => {
    const owner = freshOwner();
    await askObject(owner, "check", [check(1, 10)]);
    expect(await askObject(owner, "check", [check(1), check(2)])).toMatchObject({
      verdicts: [[{ allowed: false, remaining: 0 }], [{ allowed: true, remaining: 9 }]],
    });
  });

  it("still knows the count after eviction", async () => {
    const owner = freshOwner();
    await askObject(owner, "check", [check(1, 10)]);
    await scheduler.wait(700);
    await evictDurableObject(owner);
    expect(await askObject(owner, "check", [check()])).toMatchObject({
      verdicts: [[{ allowed: false, remaining: 0 }]],
    });
  });

  it("deletes its storage when nothing is live", async () => {
    const owner = freshOwner();
    await askObject(owner, "check", [check()]);
    await scheduler.wait(700);
    const stored = () => runInDurableObject(owner, (_, { storage }) => storage.list());
    expect([...(await stored()).keys()]).toEqual(["head", logKey(1), "open"]);
    await askObject(owner, "reset", [check()]);
    expect(await runDurableObjectAlarm(owner)).toBe(true);
    expect((await stored()).size).toBe(0);
    expect(await runInDurableObject(owner, (_, { storage }) => storage.getAlarm())).toBeNull();
  });

  it("offers its verbs over RPC and nothing else", async () => {
    const names = await runInDurableObject(freshOwner(), (object) => {
      // The deployed Worker's class, and the library's that it extends.
      const own = Object.getPrototypeOf(object);
      return [own, Object.getPrototypeOf(own)].flatMap(Object.getOwnPropertyNames);
    });
    expect([...new Set(names)].sort()).toEqual([
      "adopt",
      "alarm",
      "block",
      "check",
      "constructor",
      "explain",
      "override",
      "peek",
      "refund",
      "release",
      "releaseSome",
      "reset",
      "status",
      "takeOver",
      "unblock",
    ]);
  });
});
