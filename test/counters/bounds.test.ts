/**
 * An owner's tables stay within their bound in bytes, and each call looks at few tables, however
 * many there are.
 */
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { CounterTable } from "../../src/counters/counter-table.ts";
import { Counters } from "../../src/counters/counters.ts";
import type { FixedRows } from "../../src/counters/fixed-rows.ts";
import { blocksName, tableName } from "../../src/counters/table-name.ts";
import { TABLE_BYTES, Tables } from "../../src/counters/tables.ts";
import type { AlgorithmName } from "../../src/limit/algorithms.ts";
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { DAY_MS, TEN_A_DAY } from "../owner/ten-a-day.ts";

const NOW_MS = 1_700_000_000_000;
const ROW_BYTES = 24;

function keyOf(n: number): KeyHash {
  return sipHash(PUBLIC_SIP_KEY, `${n}`);
}

function policyOf(n: number, algorithm: AlgorithmName = "fixed-window"): CounterPolicy {
  return { ...TEN_A_DAY, name: `tenant-${n}`, algorithm };
}

/** Adds up the bytes and rows of all tables. */
function sumsOf(tables: Tables): { bytes: number; size: number } {
  const all = [...tables.byName.values()];
  const segments = all.flatMap((table) => table.segments);
  return {
    bytes: all.length * TABLE_BYTES + segments.reduce((sum, { bytes }) => sum + bytes, 0),
    size: segments.reduce((sum, { size }) => sum + size, 0),
  };
}

afterEach(() => vi.restoreAllMocks());

describe.each<[string, (n: number) => { key: KeyHash; policies: CounterPolicy[] }]>([
  ["one policy of many keys", (n) => ({ key: keyOf(n), policies: [policyOf(0)] })],
  ["many policies of one key each", (n) => ({ key: keyOf(n), policies: [policyOf(n)] })],
  ["many policies of one key", (n) => ({ key: keyOf(0), policies: [policyOf(n)] })],
  ["many policies of some keys", (n) => ({ key: keyOf(n), policies: [policyOf(n >> 4)] })],
  [
    "a large policy beside many small ones",
    (n) => ({ key: keyOf(n), policies: [policyOf(n % 2 ? 0 : n)] }),
  ],
  [
    "many policies whose states grow",
    (n) => ({ key: keyOf(n), policies: [policyOf(n, "sliding-log")] }),
  ],
  [
    "many policies that block",
    (n) => {
      const blockFor = { firstMs: DAY_MS, maxMs: DAY_MS };
      return { key: keyOf(n), policies: [{ ...policyOf(n), limit: 0, blockFor }] };
    },
  ],
])("counters of %s", (_, checkOf) => {
  it("never take more than their bound, and count the newest key", () => {
    const maxBytes = 300_000;
    const counters = new Counters({ maxBytes });
    const { tables } = counters;
    for (let n = 1; n <= 15_000; n++) {
      const check = checkOf(n);
      counters.check(check, NOW_MS);
      if (tables.bytes > maxBytes) expect(tables.bytes).toBeLessThanOrEqual(maxBytes);
      if (n % 500 > 0) continue;
      expect({ bytes: tables.bytes, size: tables.size }).toEqual(sumsOf(tables));
      const [policy] = check.policies as [CounterPolicy];
      const name = policy.blockFor ? blocksName(policy) : tableName(policy);
      expect(tables.get(name, check.key)).toBeDefined();
    }
    expect(tables.bytes).toBeGreaterThan(maxBytes * 0.9);
    expect(tables.evicted).toBeGreaterThan(1_000);
  });

  it("look at as many tables in each check as if there were few", () => {
    const counters = new Counters({ maxBytes: 2_000_000 });
    const looks = [
      vi.spyOn(CounterTable.prototype, "lastExpiryMs", "get"),
      vi.spyOn(CounterTable.prototype, "bytes", "get"),
      vi.spyOn(CounterTable.prototype, "get"),
      vi.spyOn(CounterTable.prototype, "sweep"),
    ];
    let most = 0;
    let before = 0;
    // The owner is full from about 3,800 tables on.
    for (let n = 1; n <= 5_000; n++) {
      counters.check(checkOf(n), NOW_MS + n);
      const calls = looks.reduce((sum, { mock }) => sum + mock.calls.length, 0);
      most = Math.max(most, calls - before);
      before = calls;
    }
    // Most looks come when a new table evicts 21 rows, each out of 16 tables that are sorted.
    expect(most).toBeLessThan(5_000);
  });
});

describe("the buffers of tables", () => {
  const maxBytes = 2_000_000;
  const bufferBytes = ({ byName }: Tables) =>
    [...byName.values()]
      .flatMap(({ segments }) => segments)
      .reduce((sum, segment) => sum + ((segment as FixedRows).bufferBytes ?? 0), 0);

  it("take twice the bound at most, while each new policy takes the room of others", () => {
    const counters = new Counters({ maxBytes });
    let most = 0;
    for (let n = 0; n < 500_000; n++) {
      counters.check({ key: keyOf(n), policies: [policyOf(Math.floor(n / 100_000))] }, NOW_MS);
      if (n % 1_000 === 0) most = Math.max(most, bufferBytes(counters.tables));
    }
    expect(most).toBeLessThanOrEqual(2 * maxBytes);
  });

  it("take twice the bound at most, after the deletions that leave most free slots", () => {
    const tables = new Tables({ maxBytes });
    // Each table fills the room that is left, and then loses rows until its buffers would shrink.
    for (let table = 0; table < 8; table++) {
      const keys: KeyHash[] = [];
      const name = `fixed-window/1000/${table}`;
      while (tables.bytes < maxBytes) {
        const key = keyOf(keys.length);
        keys.push(key);
        tables.set(name, key, [NOW_MS, 1]);
      }
      for (const key of keys.slice(0, keys.length * 0.48)) tables.delete(name, key);
    }
    while (tables.bytes < maxBytes)
      tables.set("fixed-window/1/last", keyOf(tables.size), [NOW_MS, 1]);
    expect(bufferBytes(tables)).toBeLessThanOrEqual(2 * maxBytes);
  });
});

describe("tables that have expired", () => {
  it("are dropped as new keys come, a few rows for each key", () => {
    const dropped: string[] = [];
    const counters = new Counters({ onDrop: (name) => dropped.push(name) });
    const short = (n: number) => ({ ...policyOf(n), windowMs: 1_000 });
    for (let n = 0; n < 3_000; n++) counters.check({ key: keyOf(n), policies: [short(n)] }, NOW_MS);
    for (let n = 0; n < 4_000; n++) {
      counters.check({ key: keyOf(n), policies: [policyOf(0)] }, NOW_MS + 10_000);
    }
    expect(counters.tables.byName.size).toBe(1);
    expect(counters.tables).toMatchObject({ size: 4_000, evicted: 0 });
    expect(new Set(dropped).size).toBe(3_000);
  });

  it("are dropped at once by the alarm", () => {
    const counters = new Counters();
    for (let n = 0; n < 100; n++)
      counters.check({ key: keyOf(n), policies: [policyOf(n)] }, NOW_MS);
    counters.tables.dropExpired(NOW_MS + 2 * DAY_MS);
    expect(counters.tables).toMatchObject({ size: 0, bytes: 0 });
  });
});

/** Tables whose policies nobody has asked about: all rows count as denied, so only time decides. */
const NAMES = ["a", "b", "c"].map((name) => `fixed-window/1000/${name}`);
const place = fc.record({ name: fc.constantFrom(...NAMES), lo: fc.nat(7) });
const timeMs = fc.integer({ min: 1, max: 100 });
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ at: place, expiresAtMs: timeMs, isBound: fc.boolean() }) },
  fc.record({ delete: place }),
  fc.record({ sweepMs: timeMs, rows: fc.option(fc.nat(20), { nil: undefined }) }),
  fc.record({ dropExpiredMs: timeMs }),
  fc.record({ drop: fc.constantFrom(...NAMES) }),
);

describe("tables", () => {
  it("do what nested maps do, and evict the row that expires first", () => {
    const rows = 10;
    const maxBytes = NAMES.length * TABLE_BYTES + rows * ROW_BYTES;
    fc.assert(
      fc.property(fc.array(command, { maxLength: 150 }), (commands) => {
        const dropped = new Set<string>();
        const tables = new Tables({ maxBytes, onDrop: (name) => dropped.add(name) });
        const model = new Map<string, number>();
        const idOf = ({ name, lo }: { name: string; lo: number }) => `${name} ${lo}`;
        const found = (id: string) => {
          const [name = "", lo] = id.split(" ");
          return tables.get(name, { hi: 1, lo: Number(lo) })?.[0];
        };
        for (const step of commands) {
          dropped.clear();
          const names = [...tables.byName.keys()];
          let expiredMs = 0;
          if ("at" in step) {
            const { at, expiresAtMs, isBound } = step;
            const key = { hi: 1, lo: at.lo };
            const isNew = !model.has(idOf(at));
            model.set(idOf(at), expiresAtMs);
            // At the time 0 nothing has expired, so a sweep removes nothing.
            if (isBound) tables.setWithin(at.name, key, [expiresAtMs, 1], 0);
            else tables.set(at.name, key, [expiresAtMs, 1]);
            if (isBound && isNew) expect(tables.bytes).toBeLessThanOrEqual(maxBytes);
            const gone = [...model.keys()].filter((id) => found(id) === undefined);
            const kept = [...model].filter(([id]) => found(id) !== undefined && id !== idOf(at));
            for (const id of gone) {
              expect(id).not.toBe(idOf(at));
              for (const [, keptMs] of kept) expect(model.get(id)).toBeLessThanOrEqual(keptMs);
            }
            for (const id of gone) model.delete(id);
          } else if ("delete" in step) {
            tables.delete(step.delete.name, { hi: 1, lo: step.delete.lo });
            model.delete(idOf(step.delete));
          } else if ("drop" in step) {
            tables.dropTable(step.drop);
            for (const id of model.keys()) if (id.startsWith(step.drop)) model.delete(id);
          } else if ("dropExpiredMs" in step) {
            tables.dropExpired(step.dropExpiredMs);
            expiredMs = step.dropExpiredMs;
          } else {
            tables.sweep(step.sweepMs, step.rows);
            expiredMs = step.sweepMs;
            if (step.rows === undefined) {
              for (const [id, ms] of model) if (ms <= step.sweepMs) model.delete(id);
            }
          }
          for (const [id, ms] of model) {
            // A partial sweep may or may not have met the row.
            if (ms <= expiredMs && found(id) === undefined) model.delete(id);
            else expect(found(id)).toBe(ms);
          }
          expect({ bytes: tables.bytes, size: tables.size }).toEqual(sumsOf(tables));
          expect(tables.size).toBe(model.size);
          const gone = names.filter((name) => !tables.byName.has(name));
          expect([...dropped].sort()).toEqual(gone.sort());
        }
      }),
      { numRuns: 300 },
    );
  });

  it("refuse a block beyond the most that an owner keeps, and evict none", () => {
    const counters = new Counters({ maxBytes: 10 * TABLE_BYTES });
    const most = 1_000_000;
    for (let lo = 0; lo < most; lo++) counters.block({ hi: 3, lo }, NOW_MS + 1);
    expect(() => counters.block({ hi: 4, lo: 0 }, NOW_MS + 1)).toThrow(/at most 1000000 blocks/);
    counters.block({ hi: 3, lo: 0 }, NOW_MS + 2);
    counters.unblock({ hi: 3, lo: 1 });
    counters.block({ hi: 4, lo: 0 }, NOW_MS + 1);
    counters.check({ key: { hi: 5, lo: 0 }, policies: [policyOf(0)] }, NOW_MS);
    expect(counters.tables.blocks?.size).toBe(most);
  });
});
