import { expect, test, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { CounterTable } from "../../src/counters/counter-table.ts";
import { ALGORITHMS, type AlgorithmName } from "../../src/limit/algorithms.ts";
import type { Verdict } from "../../src/limit/decision.ts";
import { Exporter } from "../../src/owner/change/export.ts";
import { RELEASED } from "../protocol/recorded.ts";
import { OwnerRig } from "./owner-rig.ts";
import { putRows } from "./put-rows.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const FIVE_A_DAY: CounterPolicy = { ...TEN_A_DAY, name: "other", limit: 5, capacity: 5 };
/** Far more keys than one chunk has. */
const KEYS = 40_000;

test("exports all that is counted of a key, in however many chunks", async () => {
  const policies = [TEN_A_DAY, FIVE_A_DAY];
  const checks = Array.from({ length: KEYS }, (_, lo) => ({ key: { hi: 7, lo }, policies }));
  const before = await new OwnerRig().start();
  before.check(checks);
  const after = await new OwnerRig().start();
  const exporter = new Exporter(before);
  let chunks = 0;
  for (let cursor: number | null = 0; cursor !== null; chunks++) {
    const { rows, next } = exporter.exportChunk("weur/1", cursor, () => true);
    putRows(after, rows);
    cursor = next as number | null;
  }
  expect(chunks).toBeGreaterThan(2);
  const { verdicts } = after.peek(checks);
  const isWhole = (each: Verdict[] = []) => each[0]?.remaining === 9 && each[1]?.remaining === 4;
  expect(verdicts.filter(isWhole)).toHaveLength(KEYS);
}, 60_000);

test("exports rows as the version before reads them", async () => {
  const owner = await new OwnerRig().start();
  const algorithms = Object.keys(ALGORITHMS) as AlgorithmName[];
  const policies = algorithms.map((algorithm) => ({
    ...TEN_A_DAY,
    name: "p",
    algorithm,
    cost: 3,
  }));
  for (const policy of policies) owner.check([{ key: RELEASED.key, policies: [policy] }]);
  const rows = new Exporter(owner).exportKeys([RELEASED.key]);
  const digitsOf = (bytes: Uint8Array) =>
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const given = rows.map(({ table, bytes }) => [table, digitsOf(bytes)]);
  expect(Object.fromEntries(given)).toEqual(RELEASED.rows);
});

test("looks at few rows for each key, and takes few steps, however many policies there are", async () => {
  const tables = 5_000;
  const owner = await new OwnerRig().start();
  const key = (n: number) => ({ hi: 7, lo: n });
  for (let n = 0; n < tables; n++) {
    // Each key has a row under two policies, far apart.
    const policies = [n, (n + 77) % tables].map((at) => ({ ...TEN_A_DAY, name: `tenant-${at}` }));
    owner.check([{ key: key(n), policies }]);
  }
  const get = vi.spyOn(CounterTable.prototype, "get");
  const exporter = new Exporter(owner);
  const { rows, next } = exporter.exportChunk("weur/1", 0, () => true);
  expect(next).toBeNull();
  const some = Array.from({ length: 256 }, (_, n) => key(n));
  expect(exporter.exportKeys(some)).toHaveLength(256 + 77);
  expect(get.mock.calls.length).toBeLessThan(5 * tables);
  get.mockRestore();
  const after = await new OwnerRig().start();
  putRows(after, rows);
  expect(after.keys).toBe(2 * tables);
  expect([...exporter.dropForeignRows(() => false)].length).toBeLessThan(100);
  expect(owner.keys).toBe(0);
});
