/** Every algorithm in the real object, under calls in parallel. */
import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Check, CounterPolicy } from "../../src/counters/check.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import { encodeBatch } from "../../src/protocol/wire.ts";
import { askObject } from "./ask-object.ts";
import { DAY_MS, TEN_A_DAY } from "./ten-a-day.ts";

const KEY = { hi: 1, lo: 2 };

function policy(change: Partial<CounterPolicy> = {}): CounterPolicy {
  return { ...TEN_A_DAY, name: "parallel", ...change };
}

function ask(...policies: Partial<CounterPolicy>[]): Check[] {
  return [{ key: KEY, policies: policies.map(policy) }];
}

function freshOwner() {
  return env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
}

describe("the RateLimiter object", () => {
  it.each(Object.keys(ALGORITHMS) as AlgorithmName[])(
    "allows exactly 10 of 100 parallel calls — %s",
    async (algorithm) => {
      const owner = freshOwner();
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => askObject(owner, "check", ask({ algorithm }))),
      );
      const verdicts = answers.map((answer) => answer.verdicts[0]?.[0]);
      const passed = verdicts.filter((verdict) => verdict?.allowed);
      expect(passed).toHaveLength(10);
      if (algorithm !== "leaky-bucket") return;
      // Turns are a tenth of a day apart; the calls themselves, milliseconds.
      const turns = passed.map((verdict) => Math.round((verdict?.delayMs ?? 0) / (DAY_MS / 10)));
      expect(turns.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    },
  );

  it.each(Object.keys(ALGORITHMS) as AlgorithmName[])(
    "knows after eviction what it counted — %s",
    async (algorithm) => {
      const owner = freshOwner();
      await askObject(owner, "check", ask({ algorithm, cost: 7 }));
      await scheduler.wait(700);
      await evictDurableObject(owner);
      const { verdicts } = await askObject(owner, "peek", ask({ algorithm, cost: 4 }));
      expect(verdicts).toMatchObject([[{ allowed: false, remaining: 3 }]]);
    },
  );

  it("has a durable count on disk before it answers", async () => {
    const name = `weur/${crypto.randomUUID()}`;
    const fresh = () => env.TURNPIKE_OWNERS.getByName(name);
    await askObject(fresh(), "check", ask({ durable: true, cost: 7 }));
    await askObject(fresh(), "check", ask({ name: "other", cost: 2 }));
    await abortAllDurableObjects();
    const { verdicts } = await askObject(
      fresh(),
      "peek",
      ask({ durable: true }, { name: "other" }),
    );
    expect(verdicts).toMatchObject([[{ remaining: 3 }, { remaining: 10 }]]);
    await askObject(fresh(), "refund", ask({ durable: true, cost: 2 }));
    await abortAllDurableObjects();
    const after = await askObject(fresh(), "peek", ask({ durable: true }));
    expect(after.verdicts).toMatchObject([[{ remaining: 5 }]]);
  });

  it("keeps a block over eviction, and over every policy", async () => {
    const owner = freshOwner();
    await owner.block(0, KEY, DAY_MS);
    await scheduler.wait(700);
    await evictDurableObject(owner);
    const { verdicts } = await askObject(
      owner,
      "check",
      ask({}, { algorithm: "token-bucket", name: "b" }),
    );
    expect(verdicts).toMatchObject([
      [
        { allowed: false, reason: "blocked" },
        { allowed: false, reason: "blocked" },
      ],
    ]);
    await owner.unblock(0, KEY);
    expect((await askObject(owner, "check", ask({}))).verdicts).toMatchObject([
      [{ allowed: true, remaining: 9 }],
    ]);
  });

  it("explains what it stores, in words and numbers, and when the next unit frees", async () => {
    const owner = freshOwner();
    await askObject(owner, "check", ask({ cost: 7 }));
    expect(await owner.explain(encodeBatch({ version: 0, checks: ask({}) }))).toMatchObject({
      explained: [
        {
          blockedMs: 0,
          policies: [
            {
              policy: "parallel",
              algorithm: "fixed-window",
              limit: 10,
              windowMs: DAY_MS,
              capacity: 10,
              remaining: 3,
              state: expect.stringMatching(
                /^7 of 10 spent in the window that ends in [\dhmins ]+$/,
              ),
              stored: [expect.any(Number), 7],
              nextUnitMs: expect.any(Number),
            },
          ],
        },
      ],
    });
  });
});
