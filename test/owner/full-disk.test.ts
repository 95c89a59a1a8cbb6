/** Storage that fails to write for a while, under an owner that lives on. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import { keysUpTo } from "../counters/keys-up-to.ts";
import { askObject } from "./ask-object.ts";
import { OwnerRig } from "./owner-rig.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const POLICY: CounterPolicy = { ...TEN_A_DAY, algorithm: "fixed-window" };

function spend(owner: Owner, keys: readonly KeyHash[], policy = POLICY): void {
  owner.check(keys.map((key) => ({ key, policies: [policy] })));
}

function known(owner: Owner, keys: readonly KeyHash[]): number {
  const { verdicts } = owner.peek(keys.map((key) => ({ key, policies: [POLICY] })));
  return verdicts.filter((each) => each?.[0]?.remaining === POLICY.limit - 1).length;
}

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => vi.restoreAllMocks());

it("the RateLimiter object answers no durable check that it can't write", async () => {
  const object = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
  const [key] = keysUpTo(1) as [KeyHash];
  const check = (durable: boolean) =>
    askObject(object, "check", [{ key, policies: [{ ...POLICY, durable }] }]);
  const fail = (isFull: boolean) =>
    runInDurableObject(object, (_, { storage }) => {
      if (isFull) vi.spyOn(storage, "put").mockRejectedValue(new Error("disk is full"));
      else vi.restoreAllMocks();
    });
  expect((await check(true)).verdicts[0]?.[0]?.remaining).toBe(9);
  await fail(true);
  await expect(check(true)).rejects.toThrow("disk is full");
  expect((await check(false)).verdicts[0]?.[0]?.allowed).toBe(true);
  await fail(false);
  expect((await check(true)).verdicts[0]?.[0]?.allowed).toBe(true);
});

it("the RateLimiter object acknowledges no block, unblock or reset that it can't write", async () => {
  const object = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
  const [key] = keysUpTo(1) as [KeyHash];
  const checks = [{ key, policies: [POLICY] }];
  await askObject(object, "check", checks);
  await object.block(0, key, 60_000);
  const acts = {
    block: async () => void (await object.block(0, key, 120_000)),
    unblock: async () => void (await object.unblock(0, key)),
    reset: () => askObject(object, "reset", checks),
  };
  for (const act of Object.values(acts)) {
    await runInDurableObject(object, (_, { storage }) => {
      vi.spyOn(storage, "put").mockRejectedValue(new Error("disk is full"));
    });
    await expect(act()).rejects.toThrow("disk is full");
    await runInDurableObject(object, () => void vi.restoreAllMocks());
    vi.spyOn(console, "error").mockImplementation(() => {});
    await act();
  }
});

describe("an owner whose storage fails to write", () => {
  it("keeps what was on disk before", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const early = keysUpTo(20_000, "early");
    spend(owner, early);
    await rig.wait(10_000);
    for (let round = 0; round < 20; round++) {
      spend(owner, keysUpTo(1_000, `${round}`));
      await rig.wait(CHECKPOINT_INTERVAL_MS);
      // If this round succeeds, the last few values of the other rounds are no longer needed.
      const full = vi.spyOn(rig.storage, "put").mockRejectedValue(new Error("disk is full"));
      spend(owner, keysUpTo(1_000, `${round}`).reverse());
      await rig.wait(CHECKPOINT_INTERVAL_MS);
      expect(known(await rig.copy().start(), early)).toBe(early.length);
      full.mockRestore();
    }
  }, 60_000);

  it("has everything on disk an interval after it can write again", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const early = keysUpTo(20_000, "early");
    const late = keysUpTo(1_000, "late");
    spend(owner, early);
    await rig.wait(10_000);
    const full = vi.spyOn(rig.storage, "put").mockRejectedValue(new Error("disk is full"));
    spend(owner, late);
    await rig.wait(10_000);
    full.mockRestore();
    await rig.wait(10_000);

    const next = await rig.start();
    expect(known(next, early)).toBe(early.length);
    expect(known(next, late)).toBe(late.length);
  }, 60_000);
});
