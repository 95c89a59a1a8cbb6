import { afterEach, describe, expect, it, vi } from "vitest";
import { Exporter } from "../../src/owner/change/export.ts";
import { HEAD } from "../../src/owner/checkpoint/format.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_DELAY_MS, CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { OwnerRig } from "./owner-rig.ts";
import { DAY_MS, TEN_A_DAY } from "./ten-a-day.ts";

const TEN_A_SECOND = { ...TEN_A_DAY, name: "second", windowMs: 1_000 };
const KEY = { hi: 1, lo: 2 };

function spend(owner: Owner, cost = 1, policies = [TEN_A_DAY]) {
  const charged = policies.map((policy) => ({ ...policy, cost }));
  return owner.check([{ key: KEY, policies: charged }]).verdicts[0]?.[0];
}

function left(owner: Owner, key = KEY) {
  return owner.peek([{ key, policies: [TEN_A_DAY] }]).verdicts[0]?.[0]?.remaining;
}

afterEach(() => vi.restoreAllMocks());

describe("owner", () => {
  it("has the count on disk a moment after activity starts", async () => {
    const rig = new OwnerRig();
    spend(await rig.start(), 4);
    await rig.wait(CHECKPOINT_DELAY_MS);
    expect(left(await rig.start())).toBe(6);
  });

  it("goes on with checkpoints after it has deleted its storage", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner);
    for (const _ of new Exporter(owner).dropForeignRows(() => false));
    await owner.clear();
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    spend(owner, 4);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    expect(left(await rig.start())).toBe(6);
  });

  it("loses at most one interval of counts in a crash, at any moment", async () => {
    for (let crashMs = 0; crashMs < 3 * CHECKPOINT_INTERVAL_MS; crashMs += 130) {
      const rig = new OwnerRig();
      const owner = await rig.start();
      const spentAtMs: number[] = [];
      for (let atMs = 0; atMs <= crashMs; atMs += 650) {
        spend(owner);
        spentAtMs.push(atMs);
        await rig.wait(Math.min(650, crashMs - atMs));
      }
      const kept = 10 - (left(await rig.start()) ?? Number.NaN);
      const safe = spentAtMs.filter((atMs) => atMs < crashMs - CHECKPOINT_INTERVAL_MS).length;
      expect(kept).toBeGreaterThanOrEqual(safe);
      expect(kept).toBeLessThanOrEqual(spentAtMs.length);
    }
  });

  it("writes at most once in an interval under steady load, and nothing for denials", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    for (let second = 0; second < 10; second++) {
      spend(owner);
      await rig.wait(1_000);
    }
    expect(rig.storage.puts).toBeLessThanOrEqual(1 + 10_000 / CHECKPOINT_INTERVAL_MS);
    await rig.wait(10_000);
    const { puts } = rig.storage;
    expect(spend(owner)?.allowed).toBe(false);
    await rig.wait(10_000);
    expect(rig.storage.puts).toBe(puts);
  });

  it("takes all policies of a check or none", async () => {
    const owner = await new OwnerRig().start();
    expect(spend(owner, 6, [TEN_A_DAY, TEN_A_SECOND])?.remaining).toBe(4);
    expect(spend(owner, 4)?.remaining).toBe(0);
    const { verdicts } = owner.check([{ key: KEY, policies: [TEN_A_DAY, TEN_A_SECOND] }]);
    expect(verdicts[0]).toMatchObject([
      { allowed: false, remaining: 0 },
      { allowed: true, remaining: 4, retryAfterMs: 0 },
    ]);
  });

  it("peeks without spending", async () => {
    const owner = await new OwnerRig().start();
    spend(owner, 8);
    const peek = () =>
      owner.peek([{ key: KEY, policies: [{ ...TEN_A_DAY, cost: 3 }] }]).verdicts[0]?.[0];
    expect(peek()).toMatchObject({ allowed: false, remaining: 2 });
    expect(peek()).toEqual(peek());
    expect(left(owner)).toBe(2);
  });

  it("begins an epoch when what callers remember may end early, and only then", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const check = { key: KEY, policies: [TEN_A_DAY] };
    const ALL = { ...TEN_A_DAY, cost: 10 };
    const acts: [string, (owner: Owner) => unknown][] = [
      ["check", (each) => each.check([check])],
      ["peek", (each) => each.peek([check])],
      ["refund to a key with something left", (each) => each.refund([check])],
      ["check of all", (each) => each.check([{ ...check, policies: [ALL] }])],
      ["refund to a key with nothing left", (each) => each.refund([check])],
      ["block", (each) => each.block(KEY, 1)],
      ["reset", (each) => each.reset([check])],
      ["unblock", (each) => each.unblock(KEY)],
      ["override", (each) => each.override(KEY, TEN_A_DAY, 20, 1_000)],
    ];
    const beginning = acts.flatMap(([name, act]) => {
      const { epoch } = owner.peek([]);
      act(owner);
      return owner.peek([]).epoch === epoch ? [] : [name];
    });
    const refund = "refund to a key with nothing left";
    expect(beginning).toEqual([refund, "block", "reset", "unblock", "override"]);
    await rig.wait(1_000);
    expect((await rig.start()).peek([]).epoch).toBeGreaterThan(owner.peek([]).epoch);
  });

  it("forgets a key on reset, also on disk, and keeps others", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const other = { hi: 3, lo: 2 };
    owner.check([{ key: other, policies: [{ ...TEN_A_DAY, cost: 3 }] }]);
    spend(owner, 5);
    await rig.wait(5_000);
    owner.reset([{ key: KEY, policies: [TEN_A_DAY] }]);
    expect(left(owner)).toBe(10);
    await rig.wait(5_000);
    const again = await rig.start();
    expect(left(again)).toBe(10);
    expect(left(again, other)).toBe(7);
  });

  it("has a block, an unblock and a reset on disk when it says so", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner, 5);
    await rig.wait(5_000);
    const fresh = () => rig.copy().start();
    const acts = {
      block: () => owner.block(KEY, 60_000),
      unblock: () => owner.unblock(KEY),
      reset: () => owner.reset([{ key: KEY, policies: [TEN_A_DAY] }]),
    };
    const state = async () => {
      const { blockedMs, policies } = (await fresh()).explain({ key: KEY, policies: [TEN_A_DAY] });
      return [blockedMs > 0, policies[0]?.remaining];
    };
    acts.block();
    await owner.written;
    expect(await state()).toEqual([true, 5]);
    acts.unblock();
    await owner.written;
    expect(await state()).toEqual([false, 5]);
    acts.reset();
    await owner.written;
    expect(await state()).toEqual([false, 10]);
    vi.spyOn(rig.storage, "put").mockRejectedValue(new Error("disk is full"));
    for (const act of Object.values(acts)) {
      act();
      await expect(owner.written).rejects.toThrow("disk is full");
    }
  });

  it("has an override, and the end of one, on disk when it says so", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const bucket = { ...TEN_A_DAY, name: "bucket", algorithm: "token-bucket" } as const;
    owner.check([{ key: KEY, policies: [TEN_A_DAY, bucket] }]);
    await rig.wait(5_000);
    const lefts = async () => {
      const [verdicts] = (await rig.copy().start()).peek([
        { key: KEY, policies: [TEN_A_DAY, bucket] },
      ]).verdicts;
      return verdicts?.map(({ remaining, limit }) => [remaining, limit]);
    };
    for (const policy of [TEN_A_DAY, bucket]) owner.override(KEY, policy, 20, DAY_MS);
    await owner.written;
    expect(await lefts()).toEqual([
      [19, 20],
      [19, 20],
    ]);
    for (const policy of [TEN_A_DAY, bucket]) owner.override(KEY, policy, null, 0);
    await owner.written;
    expect(await lefts()).toEqual([
      [9, undefined],
      [9, undefined],
    ]);
    vi.spyOn(rig.storage, "put").mockRejectedValue(new Error("disk is full"));
    owner.override(KEY, TEN_A_DAY, 20, DAY_MS);
    await expect(owner.written).rejects.toThrow("disk is full");
  });

  it("has a reset of many keys on disk when it says so", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const checks = Array.from({ length: 1_000 }, (_, lo) => ({
      key: { hi: 3, lo },
      policies: [TEN_A_DAY],
    }));
    owner.check(checks);
    await rig.wait(5_000);
    spend(owner);
    const putsBefore = rig.storage.puts;
    owner.reset(checks);
    await owner.written;
    expect(rig.storage.puts - putsBefore).toBeLessThan(10);
    const { verdicts } = (await rig.copy().start()).peek(checks);
    expect(verdicts.every((each) => each?.[0]?.remaining === 10)).toBe(true);
    owner.check(checks);
    vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(rig.storage, "put").mockRejectedValue(new Error("disk is full"));
    owner.reset(checks);
    await expect(owner.written).rejects.toThrow("disk is full");
  });

  it("writes nothing for an unblock or a reset of a key that has nothing", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    owner.unblock(KEY);
    owner.reset([{ key: KEY, policies: [TEN_A_DAY] }]);
    expect(owner.written).toBeUndefined();
    await rig.wait(5_000);
    expect(rig.storage.puts).toBe(0);
  });

  it("removes expired counters, and its storage when none are left", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner, 1, [TEN_A_SECOND]);
    await rig.wait(600);
    expect(rig.storage.entries.size).toBeGreaterThan(0);
    const alarmMs = rig.storage.alarmMs as number;
    expect(alarmMs % 1_000).toBe(0);
    await rig.wait(alarmMs - rig.nowMs);
    await owner.wake();
    expect(rig.storage.entries.size).toBe(0);
    expect(rig.storage.alarmMs).toBeNull();
  });

  it("wakes again when something was counted since the alarm was set", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner, 1, [TEN_A_SECOND]);
    await rig.wait(5_000);
    spend(owner, 1, [TEN_A_DAY]);
    await rig.wait(5_000);
    await owner.wake();
    expect(rig.storage.alarmMs).toBe(Math.ceil(rig.nowMs / DAY_MS) * DAY_MS);
    expect(left(await rig.start())).toBe(9);
  });

  it("writes durable counts to disk at once, and cleans up after itself", async () => {
    const rig = new OwnerRig();
    const durable = { ...TEN_A_DAY, name: "durable", durable: true };
    const owner = await rig.start();
    spend(owner, 4, [durable]);
    spend(owner, 3, [TEN_A_DAY]);
    const crashed = await rig.start();
    const look = (each: Owner) =>
      each.peek([{ key: KEY, policies: [durable, TEN_A_DAY] }]).verdicts[0];
    expect(look(crashed)).toMatchObject([{ remaining: 6 }, { remaining: 10 }]);
    crashed.reset([{ key: KEY, policies: [durable] }]);
    const again = await rig.start();
    expect(look(again)).toMatchObject([{ remaining: 10 }, { remaining: 10 }]);
    await rig.wait(5_000);
    // The head says that there was a crash, for as long as the loss may matter.
    expect([...rig.storage.entries.keys()]).toEqual([HEAD]);
    await rig.wait((rig.storage.alarmMs as number) - rig.nowMs);
    await again.wake();
    expect(rig.storage.entries.size).toBe(0);
  });

  it("knows after a crash what a durable check was answered", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const check = {
      key: KEY,
      policies: [{ ...TEN_A_DAY, name: "durable", durable: true }],
      requestId: 7,
    };
    const { verdicts } = owner.check([check]);
    await owner.written;
    const crashed = await rig.start();
    expect(crashed.check([check]).verdicts).toEqual(verdicts);
    expect(crashed.peek([check]).verdicts).toMatchObject([[{ remaining: 9 }]]);
  });

  it("keeps a block over a restart, and a later shorter one does not shorten it", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    owner.block(KEY, 60_000);
    owner.block(KEY, 1_000);
    await rig.wait(5_000);
    const again = await rig.start();
    expect(spend(again)).toMatchObject({ allowed: false, retryAfterMs: 55_000, reason: "blocked" });
    await rig.wait(55_000);
    expect(spend(again)).toMatchObject({ allowed: true });
  });

  it("does not follow a clock that runs backwards, not even over a restart", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner, 10);
    await rig.wait(5_000);
    const retryAfterMs = spend(owner)?.retryAfterMs as number;
    rig.nowMs -= 2 * DAY_MS;
    expect(spend(owner)).toMatchObject({ allowed: false, retryAfterMs });
    const again = await rig.start();
    // The clock goes on from the checkpoint, which was written before the clock was last read.
    const { retryAfterMs: later } = spend(again) as { retryAfterMs: number };
    expect(later).toBeGreaterThanOrEqual(retryAfterMs);
    expect(later).toBeLessThanOrEqual(retryAfterMs + 5_000);
  });

  it.each([
    ["at once", false],
    ["by a restart", true],
  ])(
    "ends windows on time though its clock was an hour ahead and is set right %s",
    async (_, isNew) => {
      vi.spyOn(console, "warn").mockImplementation(() => {});
      const rig = new OwnerRig();
      const two = [{ ...TEN_A_DAY, limit: 2, capacity: 2, windowMs: 60_000 }];
      let owner = await rig.start();
      await rig.wait(3_600_000);
      expect(spend(owner, 2, two)).toMatchObject({ allowed: true });
      await rig.wait(3_000);
      rig.nowMs -= 3_600_000;
      if (isNew) owner = await rig.start();
      let deniedMs = 0;
      for (; spend(owner, 1, two)?.allowed === false; deniedMs += 1_000) await rig.wait(1_000);
      expect(deniedMs).toBeGreaterThan(0);
      expect(deniedMs).toBeLessThanOrEqual(60_000);
      // A clock that is right again, or ahead, is followed.
      const before = owner.now();
      rig.nowMs += 3_600_000 + 5_000;
      expect(owner.now() - before).toBeLessThanOrEqual(10_000);
      expect(owner.now()).toBe(rig.nowMs);
    },
  );

  it("keeps its storage if a read fails for now", async () => {
    const rig = new OwnerRig();
    spend(await rig.start(), 10);
    await rig.wait(1_000);
    vi.spyOn(rig.storage, "list").mockRejectedValueOnce(new Error("disk is busy"));
    await expect(rig.start()).rejects.toThrow("disk is busy");
    expect(left(await rig.start())).toBe(0);
  });

  it("sets its alarm again after it has dropped everything", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner, 1, [TEN_A_SECOND]);
    await rig.wait(5_000);
    await owner.wake();
    expect(rig.storage.alarmMs).toBeNull();
    spend(owner);
    await rig.wait(5_000);
    expect(rig.storage.alarmMs).toBeGreaterThan(rig.nowMs);
  });

  it("sets its alarm again if a checkpoint fails after it has let go of everything", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const rig = new OwnerRig();
    const owner = await rig.start();
    spend(owner);
    await rig.wait(5_000);
    const { promise, reject } = Promise.withResolvers<void>();
    spend(owner);
    vi.spyOn(rig.storage, "put").mockReturnValueOnce(promise);
    const saving = owner.save();
    await owner.clear();
    reject(new Error("disk is full"));
    await expect(saving).rejects.toThrow("disk is full");
    expect(rig.storage.alarmMs).toBeNull();
    spend(owner);
    await rig.wait(5_000);
    expect(rig.storage.alarmMs).toBeGreaterThan(rig.nowMs);
    vi.restoreAllMocks();
  });

  it("refuses a checkpoint of another version, says so, and starts fresh, inexact", async () => {
    const rig = new OwnerRig();
    spend(await rig.start(), 4);
    await rig.wait(1_000);
    rig.storage.entries.set("checkpoint", { version: 9 });
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const owner = await rig.start();
    expect(left(owner)).toBe(10);
    expect(owner.peek([{ key: KEY, policies: [TEN_A_DAY] }]).inexact).toEqual([true]);
    expect(error).toHaveBeenCalledOnce();
    expect(JSON.parse(error.mock.calls[0]?.[0])).toMatchObject({ event: "checkpoint-refused" });
    expect(rig.storage.entries.size).toBe(0);
  });

  it("reports everything that it wrote, seldom while it writes, and once it stops", async () => {
    const durable = { ...TEN_A_DAY, name: "durable", durable: true };
    const rig = new OwnerRig();
    const told = { checkpoint: 0, awaited: 0 };
    let [times, rows, bytes] = [0, 0, 0];
    rig.onWritten = (writer, written) => {
      told[writer] += written.writes;
      times++;
      rows += written.rows;
      bytes += written.bytes;
    };
    const owner = await rig.start();
    const puts = vi.spyOn(rig.storage, "put");
    const deletes = vi.spyOn(rig.storage, "delete");
    let durableChecks = 0;
    for (let second = 0; second < 40; second++) {
      const isDurable = second % 10 === 0;
      spend(owner, 1, isDurable ? [durable] : [{ ...TEN_A_DAY, limit: 100 }]);
      if (isDurable) durableChecks++;
      await rig.wait(1_000);
    }
    expect(times).toBeLessThanOrEqual(10);
    await rig.wait(3 * CHECKPOINT_INTERVAL_MS);
    const values = puts.mock.calls.map(([entries]) => Object.entries(entries));
    const heads = values.filter((each) => each.some(([key]) => key === HEAD));
    const checkpoint = heads.length - durableChecks;
    expect(checkpoint).toBeGreaterThan(15);
    expect(told).toEqual({ checkpoint, awaited: values.length - checkpoint });
    const deleted = deletes.mock.calls.reduce((sum, [keys]) => sum + keys.length, 0);
    expect(rows).toBe(values.flat().length + deleted);
    expect(bytes).toBe(rig.storage.bytes);
  });

  it("says after a crash that what is not durable is inexact, and not after an eviction", async () => {
    const durable = { ...TEN_A_DAY, name: "durable", durable: true };
    const minute = { ...TEN_A_DAY, name: "minute", windowMs: 60_000 };
    const rig = new OwnerRig();
    spend(await rig.start(), 4, [TEN_A_DAY, durable]);
    const inexact = (owner: Owner) =>
      [TEN_A_DAY, minute, durable].map((policy) => {
        const answer = owner.peek([{ key: KEY, policies: [policy] }]);
        return answer.inexact?.[0] ?? false;
      });
    await rig.wait(2 * CHECKPOINT_INTERVAL_MS);
    expect(inexact(await rig.start())).toEqual([false, false, false]);
    spend(await rig.start(), 1, [TEN_A_DAY, durable]);
    for (let start = 0; start < 2; start++) {
      const owner = await rig.start();
      expect(inexact(owner)).toEqual([true, true, false]);
      await rig.wait(3 * CHECKPOINT_INTERVAL_MS);
    }
    await rig.wait(120_000);
    expect(inexact(await rig.start())).toEqual([true, false, false]);
  });
});
