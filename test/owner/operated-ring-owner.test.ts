import { beforeEach, describe, expect, it } from "vitest";
import { OperatedRingOwner } from "../../src/owner/change/operated-ring-owner.ts";
import { encodeBatch } from "../../src/protocol/wire.ts";
import { decodeAnswer } from "../../src/protocol/wire-answer.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { STILL, turn } from "../fake-runtime.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

/** The ring as the membership object sends it, with the version of the live policies. */
const ringWith = (live?: unknown) => ({
  version: 1,
  owners: ["weur/0"],
  lost: [],
  ...(live !== undefined && { live }),
});
const CHECKS = [{ key: sipHash(PUBLIC_SIP_KEY, "client"), policies: [TEN_A_DAY] }];

let storage: MemoryStorage;
let owner: OperatedRingOwner;
/** What the membership object would answer, and how often it was asked. */
let ring: ReturnType<typeof ringWith>;
let asked: number;
let nowMs: number;

async function start(name = "weur/0"): Promise<void> {
  owner = new OperatedRingOwner({
    name,
    runtime: { ...STILL, now: () => nowMs },
    storage: storage as never,
    ownerStub: () => {
      throw new Error("there is no other owner");
    },
    membershipStub: () => ({
      ring: async () => {
        asked++;
        return ring;
      },
      reportLoad: async () => {},
    }),
    deadlineMs: 100,
    highWater: 0,
  });
  await owner.load();
}

/** @returns the version that the owner tells a caller that names `known` */
async function told(live?: number): Promise<number | undefined> {
  const batch = encodeBatch({ version: 1, checks: CHECKS });
  const answer = await owner.check(live === undefined ? batch : { ...batch, live });
  expect(decodeAnswer(answer, CHECKS)?.verdicts[0]).toHaveLength(1);
  return answer instanceof Float64Array ? undefined : answer.live;
}

beforeEach(async () => {
  storage = new MemoryStorage();
  nowMs = 1_700_000_000_000;
  ring = ringWith();
  asked = 0;
  await start();
  asked = 0;
});

describe("an owner", () => {
  it("says nothing of live policies as long as there are none", async () => {
    expect(await told()).toBeUndefined();
    expect([...storage.entries.keys()].filter((key) => key === "live")).toEqual([]);
  });

  it("tells each caller with an earlier version, and no other", async () => {
    await owner.adopt(ringWith(3));
    expect([await told(), await told(2), await told(3)]).toEqual([3, 3, undefined]);
    expect(asked).toBe(0);
  });

  it("knows the version after a restart, and when all that it counted is gone", async () => {
    await owner.adopt(ringWith(3));
    await start();
    expect(await told()).toBe(3);
    nowMs += 3 * 86_400_000;
    await owner.wake();
    await start();
    expect([await told(), asked]).toEqual([3, 0]);
  });

  it("gets the version with its first ring", async () => {
    storage = new MemoryStorage();
    ring = ringWith(5);
    await start();
    expect([await told(), asked]).toEqual([5, 1]);
    await start();
    expect([await told(), asked]).toEqual([5, 1]);
  });

  it("asks about a version that a caller names, and believes the membership object", async () => {
    expect(await told(4)).toBeUndefined();
    await turn();
    expect([asked, await told()]).toEqual([1, undefined]);
    ring = ringWith(4);
    await told(4);
    expect(asked).toBe(1);
    nowMs += 1_000;
    await told(4);
    await turn();
    expect([asked, await told()]).toEqual([2, 4]);
  });

  it("keeps a later version when it hears an earlier one or garbage", async () => {
    await owner.adopt(ringWith(3));
    for (const live of [2, -1, 0.5, "9", null, 2 ** 40, undefined]) {
      await owner.adopt(ringWith(live));
      expect(await told()).toBe(3);
    }
    expect([await told(Number.NaN), await told("9" as never)]).toEqual([3, 3]);
  });

  it("leaves nothing on disk once it is in no ring", async () => {
    await owner.adopt(ringWith(3));
    expect(storage.entries.get("live")).toBe(3);
    await owner.adopt({ version: 2, owners: ["weur/1"], lost: [], live: 3 });
    await owner.adopt(ringWith(4));
    expect([...storage.entries.keys()]).toEqual([]);
    await owner.adopt({ ...ringWith(4), version: 3 });
    expect(storage.entries.get("live")).toBe(4);
  });
});
