import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { HEAD } from "../../src/owner/checkpoint/format.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { OwnerRig } from "./owner-rig.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const KINDS: Partial<CounterPolicy>[] = [
  { name: "fixed" },
  { name: "log", algorithm: "sliding-log" },
  { name: "durable", durable: true },
];
/** Tables of many sizes: of one row, of one segment, of many. */
const POLICIES = KINDS.flatMap((kind) =>
  [0, 1, 2].map(
    (nth): CounterPolicy => ({
      ...TEN_A_DAY,
      limit: 1_000,
      capacity: 1_000,
      ...kind,
      name: `${kind.name}-${nth}`,
    }),
  ),
);
const DURABLE = POLICIES.at(-1) as CounterPolicy;

const policy = fc.nat(POLICIES.length - 1);
const range = fc.record({ from: fc.nat(3_000), count: fc.constantFrom(1, 7, 60, 3_000) });
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ spend: policy, range }) },
  { weight: 3, arbitrary: fc.record({ reset: policy, range }) },
  { weight: 2, arbitrary: fc.record({ block: fc.nat(5) }) },
  { weight: 5, arbitrary: fc.record({ save: fc.constantFrom("well", "well", "well", "badly") }) },
  { weight: 2, arbitrary: fc.record({ crash: fc.boolean() }) },
);

type Rows = Map<string, string>;

function rowsOf(owner: Owner): Rows {
  const rows: Rows = new Map();
  for (const [table, { segments }] of owner.tables) {
    for (const segment of segments) {
      segment.visit(({ hi, lo }, state) => {
        rows.set(`${table} ${hi} ${lo}`, state.join());
        return false;
      });
    }
  }
  return rows;
}

beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => vi.restoreAllMocks());

it("an owner has, after any history, what was last written and all that it acknowledged", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const rig = new OwnerRig();
      const { storage } = rig;
      let owner = await rig.start();
      /** What must be on disk, and what was on it before the last deletion. */
      let disk: Rows = new Map();
      let undeleted: Map<string, unknown> | undefined;
      let isFull = false;
      vi.spyOn(storage, "put").mockImplementation(async (values: string | object) => {
        if (isFull) throw new Error("disk is full");
        undeleted = undefined;
        for (const [key, value] of Object.entries(values)) storage.entries.set(key, value);
        // A checkpoint has everything that is counted in its turn.
        if (HEAD in (values as object)) disk = rowsOf(owner);
      });
      vi.spyOn(storage, "delete").mockImplementation(async (keys) => {
        undeleted ??= new Map(storage.entries);
        for (const key of keys) storage.entries.delete(key);
        return 0 as never;
      });
      /** Rows that are on disk as soon as the call is answered. */
      const acknowledge = async (isOf: (row: string) => boolean) => {
        await owner.written;
        const rows = rowsOf(owner);
        for (const row of disk.keys()) if (isOf(row) && !rows.has(row)) disk.delete(row);
        for (const [row, state] of rows) if (isOf(row)) disk.set(row, state);
      };
      for (const each of steps) {
        rig.nowMs += 1;
        if ("spend" in each || "reset" in each) {
          const at = "spend" in each ? each.spend : each.reset;
          const asked = POLICIES[at] as CounterPolicy;
          const { from, count } = each.range;
          const keys = Array.from({ length: count }, (_, n) => {
            const lo = Math.imul(from + n, 0x9e3779b1) >>> 0;
            return { hi: from + n, lo };
          });
          const batch = keys.map((key) => ({ key, policies: [asked] }));
          if ("spend" in each) owner.check(batch);
          else owner.reset(batch);
          const touched = new Set(keys.map(({ hi, lo }) => `${hi} ${lo}`));
          const isDurable = asked.durable || "reset" in each;
          if (isDurable) {
            await acknowledge((row) => {
              const [table, hi, lo] = row.split(" ");
              return table?.endsWith(`/${asked.name}`) === true && touched.has(`${hi} ${lo}`);
            });
          }
        } else if ("block" in each) {
          owner.block({ hi: each.block, lo: each.block }, 86_400_000);
          await acknowledge((row) => row === `blocked ${each.block} ${each.block}`);
        } else if ("save" in each) {
          isFull = each.save === "badly";
          const saving = owner.save().catch(() => {});
          if (!isFull) {
            // Counted while a checkpoint is on its way.
            const key = { hi: 1, lo: rig.nowMs % 3 };
            owner.check([{ key, policies: [DURABLE] }]);
            await acknowledge((row) => row.endsWith(`/${DURABLE.name} ${key.hi} ${key.lo}`));
          }
          await saving;
          isFull = false;
        } else {
          if (each.crash && undeleted) storage.entries = new Map(undeleted);
          undeleted = undefined;
          owner = await rig.start();
          expect(rowsOf(owner)).toEqual(disk);
          const durable = { ...TEN_A_DAY, durable: true };
          const { inexact } = owner.peek([{ key: { hi: 1, lo: 1 }, policies: [durable] }]);
          expect(inexact).toBe(undefined);
        }
      }
    }),
    { numRuns: 150 },
  );
}, 120_000);
