/** What a caller gives back: only units that were taken and that time has not freed since. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import type { Question, Reply } from "../../src/caller/question.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { STILL } from "../fake-runtime.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { FakeOwners } from "./fake-owners.ts";

let owners: FakeOwners;
let caller: Caller;

useStoppedClock();

beforeEach(() => {
  owners = new FakeOwners();
  const options = { ownersPerRegion: 1, homeRegion: "weur", hashSecret: "secret" } as const;
  caller = new Caller({ ...options, owners, runtime: STILL });
});

function ask(...policies: Partial<PolicyInput>[]): Question {
  const parsed = policies.map((policy) => parsePolicy({ limit: 5, window: "1d", ...policy }));
  return { key: ["a client"], policies: parsed, region: "weur" };
}

async function check(question: Question): Promise<Reply> {
  const [reply] = await caller.check([question]);
  return reply as Reply;
}

async function left(question: Question): Promise<number | undefined> {
  const [reply] = await caller.peek([question]);
  return reply?.decisions[0]?.remaining;
}

describe("a bucket", () => {
  const bucket = (limit: number, cost: number) =>
    ask({ algorithm: "token-bucket", limit, window: "1m", cost });

  it("gets nothing back that has drained meanwhile", async () => {
    const first = await check(bucket(5, 5));
    vi.advanceTimersByTime(60_000);
    await check(bucket(5, 5));
    await caller.undo([first]);
    expect(await left(bucket(5, 5))).toBe(0);
  });

  it("gets back as much as had not drained by the time it was full again", async () => {
    const first = await check(bucket(10, 4));
    vi.advanceTimersByTime(12_000);
    await check(bucket(10, 8));
    expect(await left(bucket(10, 4))).toBe(0);
    await caller.undo([first]);
    expect(await left(bucket(10, 4))).toBe(2);
  });
});

describe("a policy in shadow", () => {
  const ENFORCED = { charge: "failure" } as const;
  const SHADOW = { ...ENFORCED, shadow: true } as const;

  it("decides what it would if it were enforced, whatever is given back", async () => {
    const told: boolean[][] = [];
    for (const [name, how] of [["trial", SHADOW] as const, ["real", ENFORCED] as const]) {
      const question = ask({ name, ...how });
      const reasons: boolean[] = [];
      // Six failures, then four responses that cost nothing, then a failure.
      for (let n = 0; n < 11; n++) {
        const reply = await check(question);
        reasons.push(reply.decisions[0]?.reason === "ok");
        if (n >= 6 && n < 10 && reply.decisions[0]?.allowed) await caller.undo([reply]);
        vi.advanceTimersByTime(6_000);
      }
      told.push(reasons);
    }
    expect(told[0]).toEqual([...Array<boolean>(5).fill(true), ...Array<boolean>(6).fill(false)]);
    expect(told[0]).toEqual(told[1]);
  });

  it("counts a slot until its request has ended, and none for a request that it would deny", async () => {
    const slot = ask({ algorithm: "concurrency", limit: 1, shadow: true });
    const [first, second] = [await check(slot), await check(slot)];
    expect([first, second].map(({ decisions }) => decisions[0]?.reason)).toEqual(["ok", "shadow"]);
    await caller.undo([second]);
    expect(await left(slot)).toBe(0);
    await caller.undo([first]);
    expect(await left(slot)).toBe(1);
  });

  it("gives back nothing for another policy on the same key", async () => {
    const both = ask({ name: "trial", limit: 1, shadow: true }, { name: "real" });
    await check(both);
    await caller.undo([await check(both)]);
    expect(await left(ask({ name: "trial", limit: 1, shadow: true }))).toBe(0);
    expect(await left(ask({ name: "real" }))).toBe(4);
  });
});
