/** Holds at their owner: on disk, after a crash, and after a move to another owner. */
import { describe, expect, it } from "vitest";
import { decodeRows } from "../../src/counters/segment.ts";
import { Exporter } from "../../src/owner/change/export.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { OwnerRig } from "./owner-rig.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const KEY = { hi: 1, lo: 2 };
const TTL_MS = 60_000;

function clerkOf(owner: Owner, durable = false) {
  const policies = [{ ...TEN_A_DAY, durable, held: true as const }];
  const check = { key: KEY, policies };
  return {
    reserve(id: number, cost: number) {
      const asked = { key: KEY, policies: policies.map((each) => ({ ...each, cost })) };
      return owner.check([{ ...asked, reserve: { id, ttlMs: TTL_MS } }]).verdicts[0]?.[0]?.allowed;
    },
    settle: (id: number, actual: number, isMade = false) =>
      owner.refund([{ ...check, settle: { id, actual, isMade } }]).was?.[0],
    look() {
      const { epoch, verdicts } = owner.peek([check]);
      return { epoch, left: verdicts[0]?.[0]?.remaining };
    },
    left: () => owner.peek([check]).verdicts[0]?.[0]?.remaining,
  };
}

describe("a hold", () => {
  it("is on disk as counts are, and ends after a restart, too", async () => {
    const rig = new OwnerRig();
    const before = clerkOf(await rig.start());
    before.reserve(1, 4);
    before.reserve(2, 4);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    const after = clerkOf(await rig.start());
    expect(after.left()).toBe(2);
    expect(after.settle(1, 1)).toBe("live");
    expect(after.left()).toBe(5);
    await rig.wait(TTL_MS);
    expect(clerkOf(await rig.start()).left()).toBe(9);
  });

  it("of a durable policy survives any crash, settled or not", async () => {
    const rig = new OwnerRig();
    const first = await rig.start();
    clerkOf(first, true).reserve(1, 4);
    clerkOf(first, true).reserve(2, 4);
    await first.written;
    const second = await rig.start();
    expect(clerkOf(second, true).settle(1, 1)).toBe("live");
    await second.written;
    const third = clerkOf(await rig.start(), true);
    expect(third.settle(1, 1)).toBe("settled");
    expect(third.left()).toBe(5);
  });

  it("of a durable policy ends once, although a crash comes after its end", async () => {
    const rig = new OwnerRig();
    const first = await rig.start();
    clerkOf(first, true).reserve(1, 4);
    await first.written;
    await rig.wait(TTL_MS);
    const second = await rig.start();
    expect(clerkOf(second, true).reserve(2, 3)).toBe(true);
    await second.written;
    expect(clerkOf(await rig.start(), true).left()).toBe(7);
  });

  it("that a crash has lost is charged, if its caller made it", async () => {
    const rig = new OwnerRig();
    clerkOf(await rig.start()).reserve(1, 4);
    const after = clerkOf(await rig.start());
    expect(after.left()).toBe(10);
    expect(after.settle(1, 3)).toBe("unknown");
    expect(after.settle(1, 3, true)).toBe("ended");
    expect(after.left()).toBe(7);
  });

  it("moves with its key, and is settled or ends at the key's new owner", async () => {
    const rig = new OwnerRig();
    const old = await rig.start();
    clerkOf(old).reserve(1, 4);
    clerkOf(old).reserve(2, 4);
    clerkOf(old).settle(2, 2);
    const next = await new OwnerRig().start();
    for (const { table, bytes } of new Exporter(old).exportKeys([KEY])) {
      decodeRows(bytes, (key, state) => state && next.putRow(table, key, state));
    }
    const clerk = clerkOf(next);
    expect(clerk.left()).toBe(4);
    expect(clerk.settle(2, 9)).toBe("settled");
    expect(clerk.settle(1, 7)).toBe("live");
    expect(clerk.left()).toBe(1);
  });

  it("begins an epoch when it ends, so that no denial is remembered longer than it holds", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const clerk = clerkOf(owner);
    clerk.reserve(1, 10);
    clerk.reserve(2, 1);
    const { epoch } = clerk.look();
    await rig.wait(TTL_MS - 1_000);
    expect(clerk.look()).toEqual({ epoch, left: 0 });
    await rig.wait(2_000);
    expect(clerk.look()).toEqual({ epoch: epoch + 1, left: 10 });
  });

  it("that is settled for less ends denials at once", async () => {
    const clerk = clerkOf(await new OwnerRig().start());
    clerk.reserve(1, 10);
    const { epoch } = clerk.look();
    clerk.settle(1, 4);
    expect(clerk.look()).toEqual({ epoch: epoch + 1, left: 6 });
  });
});
