import fc from "fast-check";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { CounterTable } from "../../src/counters/counter-table.ts";
import { tableName } from "../../src/counters/table-name.ts";
import { CRASH_MARK, decodeHead, HEAD, LOG, logKey } from "../../src/owner/checkpoint/format.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_DELAY_MS, CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import type { KeyHash } from "../../src/ring/key-hash.ts";
import { keysUpTo } from "../counters/keys-up-to.ts";
import { OwnerRig } from "./owner-rig.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const LIMIT = 1_000;
/** Keys of one group change at once: enough that their rows fill a log entry. */
const GROUPS = 13;
const POLICY: CounterPolicy = { ...TEN_A_DAY, limit: LIMIT, capacity: LIMIT };
const LOG_POLICY: CounterPolicy = { ...POLICY, name: "log", algorithm: "sliding-log" };

function spend(owner: Owner, keys: readonly KeyHash[], cost = 1, policy = POLICY): void {
  owner.check(keys.map((key) => ({ key, policies: [{ ...policy, cost }] })));
}

function spent(owner: Owner, keys: readonly KeyHash[], policy = POLICY): number[] {
  const { verdicts } = owner.peek(keys.map((key) => ({ key, policies: [policy] })));
  return verdicts.map((each) => LIMIT - (each?.[0]?.remaining ?? Number.NaN));
}

function allRows({ tables }: Owner): string[] {
  const rows: string[] = [];
  for (const [name, { segments }] of tables) {
    for (const segment of segments) {
      segment.visit(({ hi, lo }, state) => void rows.push(`${name} ${hi} ${lo} ${state}`));
    }
  }
  return rows.sort();
}

function bytesIn({ storage }: OwnerRig): number {
  let bytes = 0;
  for (const value of storage.entries.values()) {
    if (value instanceof Uint8Array) bytes += value.length;
  }
  return bytes;
}

/** Returns an owner that has counted one for each of `count` keys, all of it on disk. */
async function written(count: number) {
  const rig = new OwnerRig();
  const owner = await rig.start();
  const keys = keysUpTo(count);
  spend(owner, keys);
  await rig.wait(10_000);
  return { rig, owner, keys };
}

describe("checkpoint", () => {
  it("writes a small part of a large table when few of its keys changed", async () => {
    const { rig, owner, keys } = await written(100_000);
    const { entries } = rig.storage;
    const sizes = [...entries.values()].map((value) =>
      value instanceof Uint8Array ? value.length : 0,
    );
    const whole = sizes.reduce((total, bytes) => total + bytes, 0);
    expect(whole).toBeGreaterThan(100_000 * 24);
    expect(Math.max(...sizes)).toBeLessThan(1_000_000);

    rig.storage.bytes = 0;
    await rig.wait(10_000);
    expect(rig.storage.bytes).toBe(0);

    spend(owner, keys.slice(0, 1));
    await rig.wait(10_000);
    expect(rig.storage.bytes).toBeLessThan(1_000_000);

    rig.storage.bytes = 0;
    const some = keys.filter((_, n) => n % 50 === 0);
    spend(owner, some, 5);
    await rig.wait(10_000);
    expect(rig.storage.bytes).toBeLessThan(whole / 3);
    const again = await rig.start();
    expect(spent(again, keys.slice(0, 3))).toEqual([7, 1, 1]);
    expect(new Set(spent(again, some.slice(1)))).toEqual(new Set([6]));
  }, 60_000);

  it("brings back the rows of a full owner, and none that it has evicted", async () => {
    const maxBytes = 1_000_000;
    const rig = new OwnerRig();
    const owner = await rig.start(maxBytes);
    for (const key of keysUpTo(120_000)) {
      spend(owner, [key]);
      if (key.lo % 500 === 0) await rig.wait(100);
    }
    await rig.wait(10_000);
    const rows = allRows(owner);
    expect(rows.length).toBeGreaterThan(0.9 * (maxBytes / 24));
    expect(allRows(await rig.start(maxBytes))).toEqual(rows);
  }, 60_000);

  it("brings back none of the rows that have expired", async () => {
    const { rig, owner, keys } = await written(10_000);
    await rig.wait(POLICY.windowMs);
    const others = keysUpTo(13_000).slice(keys.length);
    for (let from = 0; from < others.length; from += 500) {
      spend(owner, others.slice(from, from + 500));
      await rig.wait(500);
    }
    await rig.wait(10_000);
    const again = await rig.start();
    expect(again.keys).toBe(others.length);
    expect(new Set(spent(again, others))).toEqual(new Set([1]));
  }, 60_000);

  it("takes about twice as much room on disk as its rows, at whatever keys are asked for", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const keys = keysUpTo(20_000);
    const chance = xoroshiro128plus(1);
    const anyKey = () => keys[uniformInt(chance, 0, keys.length - 1)] as KeyHash;
    let most = 0;
    for (let round = 0; round < 150; round++) {
      spend(owner, Array.from({ length: 700 }, anyKey));
      await rig.wait(CHECKPOINT_DELAY_MS);
      most = Math.max(most, bytesIn(rig));
    }
    const rowBytes = 24 * owner.keys;
    expect(most).toBeGreaterThan(rowBytes);
    expect(most).toBeLessThan(3 * rowBytes);
  });

  it("puts the same two values again and again while few keys change", async () => {
    const { rig, owner, keys } = await written(100);
    const values = [...rig.storage.entries.keys()];
    expect(values).toHaveLength(2);
    for (let round = 0; round < 20; round++) {
      spend(owner, keys);
      await rig.wait(CHECKPOINT_INTERVAL_MS);
      expect(spent(await rig.copy().start(), keys)).toEqual(spent(owner, keys));
    }
    await rig.wait(10_000);
    expect([...rig.storage.entries.keys()]).toEqual(values);
  });

  it("writes a long row every two seconds, however often it changes", async () => {
    const { rig, owner, keys } = await written(1);
    const policy = { ...LOG_POLICY, limit: 10_000, capacity: 10_000 };
    const count = async () => {
      spend(owner, keys, 1, policy);
      await rig.wait(10);
    };
    for (let n = 0; n < 2_000; n++) await count();
    const { puts } = rig.storage;
    for (let n = 0; n < 1_000; n++) await count();
    expect(rig.storage.puts - puts).toBeLessThanOrEqual(10_000 / CHECKPOINT_INTERVAL_MS + 1);
  });

  it("writes no more at once when many tables change than when many rows of one do", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const [key] = keysUpTo(1) as [KeyHash];
    let most = 0;
    for (let n = 0; n < 20_000; n++) {
      const { bytes } = rig.storage;
      spend(owner, [key], 1, { ...POLICY, name: `tenant-${n % 7_000}`.padEnd(60, "-") });
      await rig.wait(0);
      most = Math.max(most, rig.storage.bytes - bytes);
    }
    expect(most).toBeLessThan(80_000);
  });

  it("looks at some of many tables at once, and takes no more room on disk for that", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const [key] = keysUpTo(1) as [KeyHash];
    const tables = 12_000;
    let visits = 0;
    const { get } = Object.getOwnPropertyDescriptor(CounterTable.prototype, "copiedAt") ?? {};
    vi.spyOn(CounterTable.prototype, "copiedAt", "get").mockImplementation(function (
      this: CounterTable,
    ) {
      visits++;
      return get?.call(this);
    });
    let most = 0;
    for (let n = 0; n < 3 * tables; n++) {
      visits = 0;
      spend(owner, [key], 1, { ...POLICY, name: `tenant-${n % tables}` });
      await rig.wait(0);
      most = Math.max(most, visits);
    }
    vi.restoreAllMocks();
    expect(most).toBeGreaterThan(1_000);
    expect(most).toBeLessThan(10_000);
    expect(bytesIn(rig) / tables).toBeLessThan(250);
    expect((await rig.copy().start()).keys).toBe(tables);
  });

  it("puts the last log entry again for each durable count", async () => {
    const { rig, owner, keys } = await written(100);
    const durable = { ...POLICY, name: "durable", durable: true };
    const log = () => [...rig.storage.entries.keys()].filter((key) => key.startsWith(LOG));
    const before = log();
    for (let n = 0; n < 5; n++) spend(owner, keys.slice(n, n + 1), 1, durable);
    await owner.written;
    expect(log()).toEqual(before);
    const counted = spent(await rig.copy().start(), keys.slice(0, 5), durable);
    expect(counted).toEqual([1, 1, 1, 1, 1]);
    spend(owner, keys);
    await rig.wait(10_000);
    expect(log()).toEqual(before);
    expect(spent(await rig.start(), keys)).toEqual(keys.map(() => 2));
  });

  it("takes no more than twice the bytes of the tables, however long keys change", async () => {
    const { rig, owner, keys } = await written(60_000);
    for (let round = 0; round < 60; round++) {
      spend(
        owner,
        keys.filter((_, n) => n % 30 === round % 3),
      );
      await rig.wait(CHECKPOINT_INTERVAL_MS);
    }
    const bytes = [...rig.storage.entries.values()].reduce<number>(
      (total, value) => total + (value instanceof Uint8Array ? value.length : 0),
      0,
    );
    expect(bytes).toBeLessThan(2 * 60_000 * 40);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    expect(spent(await rig.start(), keys)).toEqual(keys.map((_, n) => (n % 30 < 3 ? 21 : 1)));
  }, 60_000);

  it("deletes few values at a time, and heeds none that is still to be deleted", async () => {
    const { rig, owner, keys } = await written(200_000);
    const { entries } = rig.storage;
    const deletes = vi.spyOn(rig.storage, "delete");
    const unneeded = () => {
      const { oldestLog = 0 } = decodeHead(entries.get(HEAD)) ?? {};
      return [...entries.keys()].filter((key) => key.startsWith(LOG) && key < logKey(oldestLog));
    };
    let most = 0;
    for (let round = 0; round < 400; round++) {
      spend(owner, keys.slice((round % 300) * 666, (round % 300) * 666 + 666));
      await rig.wait(CHECKPOINT_INTERVAL_MS);
      const left = unneeded();
      if (left.length <= most) continue;
      most = left.length;
      const disk = rig.copy();
      disk.storage.entries.delete(CRASH_MARK);
      for (const key of left) disk.storage.entries.set(key, new Uint8Array(40));
      const { inexact } = (await disk.start()).peek([
        { key: keys[0] as KeyHash, policies: [POLICY] },
      ]);
      expect(inexact).toBe(undefined);
    }
    expect(most).toBeGreaterThan(5);
    expect(deletes.mock.calls.length).toBeGreaterThan(50);
    expect(Math.max(...deletes.mock.calls.map(([each]) => each.length))).toBeLessThan(10);
    expect(unneeded()).toEqual([]);
  }, 60_000);

  it("has each count of the last interval or a later one after a crash at any moment", async () => {
    const step = fc.record({
      verb: fc.constantFrom("spend", "spend", "spend", "reset", "wait", "crash"),
      from: fc.nat(GROUPS - 1),
      waitMs: fc.constantFrom(1, 499, 700, CHECKPOINT_INTERVAL_MS),
    });
    const keys = keysUpTo(20_000);
    const groups = Array.from({ length: GROUPS }, (_, at) =>
      keys.filter((_, n) => n % GROUPS === at),
    );
    const groupOf = (at: number) => groups[at] as KeyHash[];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(POLICY, LOG_POLICY),
        fc.array(step, { maxLength: 25 }),
        async (policy, steps) => {
          const rig = new OwnerRig();
          let owner = await rig.start();
          spend(owner, keys, 1, policy);
          await rig.wait(CHECKPOINT_INTERVAL_MS);
          const counts = new Array<number>(GROUPS).fill(1);
          /** For each group, its counts in the last interval. */
          let recent = counts.map((count) => [{ atMs: 0, count }]);
          for (const { verb, from, waitMs } of steps) {
            if (verb === "spend") {
              spend(owner, groupOf(from), 2, policy);
              counts[from] = (counts[from] as number) + 2;
            } else if (verb === "reset") {
              owner.reset(groupOf(from).map((key) => ({ key, policies: [policy] })));
              counts[from] = 0;
            } else if (verb === "crash") {
              owner = await rig.start();
              for (let group = 0; group < GROUPS; group++) {
                const found = new Set(spent(owner, groupOf(group), policy));
                expect(found.size).toBe(1);
                const [count] = found;
                const possible = recent[group]?.map((each) => each.count);
                expect(possible).toContain(count);
                counts[group] = count as number;
              }
              recent = counts.map((count) => [{ atMs: rig.nowMs, count }]);
            }
            const now = { atMs: rig.nowMs, count: counts[from] as number };
            if (verb !== "wait") recent[from]?.push(now);
            await rig.wait(verb === "wait" ? waitMs : 0);
            const safeMs = rig.nowMs - CHECKPOINT_INTERVAL_MS;
            recent = recent.map((each) => {
              const lastSafe = each.findLastIndex(({ atMs }) => atMs < safeMs);
              return each.slice(Math.max(0, lastSafe));
            });
          }
        },
      ),
      { numRuns: 15 },
    );
  }, 180_000);

  it("reads back the counts of one moment after any of its turns, with all durable counts", async () => {
    const { rig, owner, keys } = await written(30_000);
    const some = keys.slice(0, 1_500);
    const [rare] = keysUpTo(30_001).slice(-1) as [KeyHash];
    const durable = { ...POLICY, name: "durable", durable: true };
    const disks: { disk: OwnerRig; durable: number }[] = [];
    let durableSpent = 0;
    let isCounting = false;
    for (const name of ["put", "delete"] as const) {
      const write = rig.storage[name].bind(rig.storage);
      vi.spyOn(rig.storage, name).mockImplementation(async (entries: string | object) => {
        const writing = write(entries as string & string[]);
        disks.push({ disk: rig.copy(), durable: durableSpent });
        // Counted between two turns of a checkpoint.
        if (isCounting) {
          isCounting = false;
          spend(owner, some);
          spend(owner, [rare], 1, durable);
          durableSpent++;
        }
        return writing as never;
      });
    }
    for (let round = 0; round < 12; round++) {
      spend(owner, some);
      isCounting = true;
      await rig.wait(CHECKPOINT_INTERVAL_MS);
    }
    expect(disks.length).toBeGreaterThan(12 * 3);
    let least = 1;
    for (const { disk, durable: count } of disks) {
      const again = await disk.start();
      const found = spent(again, some);
      expect(new Set(found).size).toBe(1);
      expect(found[0]).toBeGreaterThanOrEqual(least);
      least = found[0] as number;
      expect(spent(again, [rare], durable)[0]).toBeGreaterThanOrEqual(count);
    }
    expect(least).toBeGreaterThan(12);
  }, 60_000);

  it("does not grow if more is counted between its turns than they write", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const keys = keysUpTo(60_000);
    spend(owner, keys.slice(0, 10_000));
    await rig.wait(10_000);
    const put = rig.storage.put.bind(rig.storage);
    let counted = 10_000;
    let heads = 0;
    vi.spyOn(rig.storage, "put").mockImplementation(async (entries) => {
      if (HEAD in (entries as object)) heads++;
      spend(owner, keys.slice(counted, counted + 1_000));
      counted += 1_000;
      return put(entries);
    });
    spend(owner, keys.slice(0, 2_048));
    while (counted < keys.length) await rig.wait(1);
    // Each checkpoint writes a bounded number of changes, although 1,000 come during each `put`.
    expect(50_000 / heads).toBeLessThan(3 * 2_048);
  }, 60_000);

  it("is tried again if one of its turns fails, with what was counted meanwhile", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { rig, owner, keys } = await written(30_000);
    for (let turn = 0; turn < 3; turn++) {
      const put = rig.storage.put.bind(rig.storage);
      let puts = 0;
      const spy = vi.spyOn(rig.storage, "put").mockImplementation(async (entries) => {
        spend(owner, keys.slice(0, 10));
        if (puts++ < turn) return put(entries);
        throw new Error("disk is full");
      });
      spend(owner, keys.slice(0, 1_500));
      while (puts <= turn) await rig.wait(1);
      spy.mockRestore();
      await rig.wait(10_000);
      expect(spent(await rig.copy().start(), keys)).toEqual(spent(owner, keys));
    }
  }, 60_000);

  it("keeps the crash mark while it hangs, before it fails", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { rig, owner, keys } = await written(10);
    const { entries } = rig.storage;
    spend(owner, keys);
    const { promise, reject } = Promise.withResolvers<void>();
    vi.spyOn(rig.storage, "put").mockReturnValueOnce(promise);
    const saving = owner.save();
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    expect(entries.has(CRASH_MARK)).toBe(true);
    reject(new Error("disk is full"));
    await expect(saving).rejects.toThrow("disk is full");
    expect(entries.has(CRASH_MARK)).toBe(true);
    await rig.wait(10_000);
    expect(entries.has(CRASH_MARK)).toBe(false);
    expect(spent(await rig.start(), keys)).toEqual(keys.map(() => 2));
  });

  it("keeps the crash mark until the runtime confirms it, since it may still fail", async () => {
    const { rig, owner, keys } = await written(10);
    const { entries } = rig.storage;
    spend(owner, keys);
    const { promise, reject } = Promise.withResolvers<void>();
    const sync = vi.spyOn(rig.storage, "sync").mockReturnValueOnce(promise);
    const waiting = rig.wait(10_000);
    await vi.waitFor(() => expect(sync).toHaveBeenCalledOnce());
    expect(entries.has(CRASH_MARK)).toBe(true);
    reject(new Error("disk is full"));
    await waiting;
    expect(entries.has(CRASH_MARK)).toBe(true);
    spend(owner, keys);
    await rig.wait(10_000);
    expect(entries.has(CRASH_MARK)).toBe(false);
  });

  it("keeps the crash mark for what is counted while it is being confirmed", async () => {
    const { rig, owner, keys } = await written(10);
    const { entries } = rig.storage;
    spend(owner, keys);
    const { promise, resolve } = Promise.withResolvers<void>();
    const sync = vi.spyOn(rig.storage, "sync").mockReturnValueOnce(promise);
    const waiting = rig.wait(CHECKPOINT_DELAY_MS + CHECKPOINT_INTERVAL_MS);
    await vi.waitFor(() => expect(sync).toHaveBeenCalledOnce());
    spend(owner, keys);
    resolve();
    await waiting;
    expect(entries.has(CRASH_MARK)).toBe(true);
    await rig.wait(10_000);
    expect(entries.has(CRASH_MARK)).toBe(false);
    expect(spent(await rig.start(), keys)).toEqual(keys.map(() => 3));
  });

  it("has the first count after all tables were dropped, while a crash still matters", async () => {
    const rig = new OwnerRig();
    const [key] = keysUpTo(1) as [KeyHash];
    spend(await rig.start(), [key]);
    const owner = await rig.start();
    spend(owner, [key]);
    await owner.save();
    for (const name of [...owner.tables.keys()]) owner.dropTable(name);
    await owner.save();
    spend(owner, [key], 3);
    await owner.save();
    expect(spent(await rig.start(), [key])).toEqual([3]);
  });

  it("writes few bytes for each durable count, however many keys come", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const durable = { ...POLICY, durable: true };
    const keys = keysUpTo(1_000);
    for (const key of keys) {
      spend(owner, [key], 1, durable);
      await owner.written;
    }
    expect(rig.storage.bytes / keys.length).toBeLessThan(4_000);
    expect(spent(await rig.copy().start(), keys, durable)).toEqual(keys.map(() => 1));
  });

  it("keeps each value within the platform's bound when rows are as long as can be", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const times = Array.from({ length: 10_000 }, (_, n) => [rig.nowMs + n, 1]).flat();
    const keys = keysUpTo(40);
    for (const key of keys)
      owner.putRow(tableName(LOG_POLICY), key, [rig.nowMs + 60_000, ...times]);
    await owner.save();
    expect((await rig.copy().start()).keys).toBe(keys.length);
  });

  it("keeps each value within the platform's bound when many tables come or go at once", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const [key] = keysUpTo(1) as [KeyHash];
    for (let n = 0; n < 20_000; n++) {
      const name = `tenant-${n}`.padEnd(100, "-");
      spend(owner, [key], 1, { ...POLICY, windowMs: 60_000, name });
    }
    spend(owner, [key]);
    await owner.save();
    expect((await rig.copy().start()).keys).toBe(20_001);
    rig.nowMs += 120_000;
    await owner.wake();
    expect((await rig.copy().start()).keys).toBe(1);
  }, 60_000);

  it("keeps a new table that only the log has, over two restarts", async () => {
    const { rig, owner, keys } = await written(30_000);
    const some = keys.filter((_, n) => n % 20 === 0);
    const [rare] = keys as [KeyHash];
    const late = { ...POLICY, name: "late" };
    spend(owner, some);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    spend(owner, [rare], 1, late);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    spend(owner, some);
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    const again = await rig.start();
    for (let round = 0; round < 40; round++) {
      spend(again, some);
      await rig.wait(CHECKPOINT_INTERVAL_MS);
      expect(spent(await rig.copy().start(), [rare], late)).toEqual([1]);
    }
  });

  it("reads a million keys back", async () => {
    const rig = new OwnerRig();
    const owner = await rig.start();
    const keys = keysUpTo(1_000_000);
    for (let at = 0; at < keys.length; at += 10_000) {
      spend(owner, keys.slice(at, at + 10_000), 3);
      await rig.wait(1);
    }
    await rig.wait(CHECKPOINT_INTERVAL_MS);
    const again = await rig.start();
    for (let at = 0; at < keys.length; at += 10_000) {
      const some = keys.slice(at, at + 10_000);
      expect(spent(again, some).every((count) => count === 3)).toBe(true);
    }
  }, 180_000);
});
