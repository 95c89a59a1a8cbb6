import "./runs.ts";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BLOCKED } from "../../src/counters/table-name.ts";
import { CRASH_MARK, decodeSections, LOG, type Value } from "../../src/owner/checkpoint/format.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/schedule.ts";
import { OwnerRig } from "../owner/owner-rig.ts";
import { DAY_MS, TEN_A_DAY } from "../owner/ten-a-day.ts";

const POLICIES = [
  TEN_A_DAY,
  { ...TEN_A_DAY, name: "log", algorithm: "sliding-log" as const },
  { ...TEN_A_DAY, name: "durable", durable: true },
];
const KEYS = 60;
const BLOCKED_KEY = { hi: 1_000, lo: 1_000 };

let written: Map<string, unknown>;
/** All that was ever put, in order. */
let puts: (readonly [key: string, value: Uint8Array])[];
let errors: string[];

/** An owner's storage with all it ever holds: log entries and the head. */
async function checkpointed(): Promise<Map<string, unknown>> {
  const rig = new OwnerRig();
  const put = rig.storage.put.bind(rig.storage);
  vi.spyOn(rig.storage, "put").mockImplementation((values) => {
    for (const [key, value] of Object.entries(values)) {
      if (value instanceof Uint8Array) puts.push([key, value.slice()]);
    }
    return put(values);
  });
  const owner = await rig.start();
  const spend = (from: number, to: number, policies = POLICIES) =>
    owner.check(
      Array.from({ length: to - from }, (_, at) => ({
        key: { hi: from + at, lo: from + at },
        policies,
      })),
    );
  owner.block(BLOCKED_KEY, DAY_MS);
  spend(0, KEYS);
  await rig.wait(CHECKPOINT_INTERVAL_MS);
  spend(5, 9);
  await rig.wait(CHECKPOINT_INTERVAL_MS);
  spend(0, 2, POLICIES.slice(2));
  return rig.storage.entries;
}

async function startedOn(entries: Map<string, unknown>): Promise<{ owner: Owner; rig: OwnerRig }> {
  const rig = new OwnerRig();
  for (const [key, value] of structuredClone(entries)) rig.storage.entries.set(key, value);
  return { owner: await rig.start(), rig };
}

/** The same with one bit turned somewhere within. */
function turned(value: unknown, place: number, bit: number): Uint8Array {
  const bytes = (value as Uint8Array).slice();
  const at = place % bytes.length;
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  return bytes;
}

beforeEach(async () => {
  errors = [];
  puts = [];
  vi.spyOn(console, "error").mockImplementation((line) => void errors.push(line));
  written = await checkpointed();
});

afterEach(() => vi.restoreAllMocks());

/** What is left of each policy for each key, and whether it says that it is exact. */
function found(owner: Owner): { left: (number | undefined)[][]; exact: boolean } {
  const checks = Array.from({ length: KEYS }, (_, at) => ({
    key: { hi: at, lo: at },
    policies: POLICIES,
  }));
  const { verdicts } = owner.peek(checks);
  // Only these are exact after a crash.
  const durable = checks.map((each) => ({ ...each, policies: POLICIES.slice(2) }));
  const { inexact = [] } = owner.peek(durable);
  return {
    left: verdicts.map((each) => (each ?? []).map(({ remaining }) => remaining)),
    exact: !inexact.includes(true),
  };
}

describe("what an owner has on disk", () => {
  const anywhere = fc.record({ entry: fc.nat(), place: fc.nat(), bit: fc.nat({ max: 7 }) });

  it("is read as it was written, if nothing happened to it", async () => {
    const { owner } = await startedOn(written);
    expect(owner.keys).toBe(POLICIES.length * KEYS + 1);
    expect(found(owner).exact).toBe(true);
    expect(errors).toEqual([]);
  });

  it("is never misread, and says that it is inexact, if a value of it is damaged", async () => {
    const whole = found((await startedOn(written)).owner);
    await fc.assert(
      fc.asyncProperty(
        anywhere,
        fc.constantFrom("turned", "cut", "gone"),
        async ({ entry, place, bit }, harm) => {
          const entries = new Map(written);
          const keys = [...entries.keys()].filter((key) => key !== CRASH_MARK);
          const key = keys[entry % keys.length] as string;
          const value = entries.get(key) as Uint8Array;
          if (harm === "turned") entries.set(key, turned(value, place, bit));
          else if (harm === "cut") entries.set(key, value.slice(0, place % value.length));
          else entries.delete(key);

          const { owner, rig } = await startedOn(entries);
          const { left, exact } = found(owner);
          expect(exact).toBe(false);
          expect(errors.at(-1)).toContain('"event":"checkpoint-damaged"');
          errors.length = 0;
          const isLost = left.map((each, at) =>
            each.map((remaining, nth) => remaining !== whole.left[at]?.[nth]),
          );
          // One log entry: what the others have stays.
          if (key === "head") expect(isLost.flat()).not.toContain(true);
          for (const [at, each] of left.entries()) {
            for (const [nth, remaining] of each.entries()) {
              const states = [10, whole.left[at]?.[nth], (whole.left[at]?.[nth] ?? 0) + 1];
              expect(states).toContain(remaining);
            }
          }
          // It stays known after another restart, when the damage itself is gone.
          await rig.wait(CHECKPOINT_INTERVAL_MS);
          const again = await rig.start();
          expect(found(again)).toEqual({ left, exact: false });
          expect(errors).toEqual([]);
        },
      ),
    );
  });

  it("says that it is inexact if two log values are in each other's place", async () => {
    const logKeys = [...written.keys()].filter((key) => key.startsWith(LOG));
    expect(logKeys.length).toBeGreaterThan(1);
    for (const [one, other] of logKeys.flatMap((key, at) =>
      logKeys.slice(at + 1).map((later) => [key, later] as const),
    )) {
      const entries = new Map(written);
      entries.set(one, written.get(other));
      entries.set(other, written.get(one));
      const { owner } = await startedOn(entries);
      expect(found(owner).exact).toBe(false);
    }
  });

  it("says that it is inexact if a value is an earlier one of its key", async () => {
    const isLast = (key: string, value: Uint8Array) =>
      `${value}` === `${written.get(key) as Uint8Array}`;
    const earlier = puts.filter(([key, value]) => written.has(key) && !isLast(key, value));
    expect(new Set(earlier.map(([key]) => key)).size).toBeGreaterThan(1);
    for (const [key, value] of earlier) {
      const { owner } = await startedOn(new Map(written).set(key, value));
      expect(found(owner).exact).toBe(false);
    }
  });

  it("keeps what operators set if any value without it is damaged", async () => {
    let damaged = 0;
    for (const [key, value] of written) {
      if (!key.startsWith(LOG)) continue;
      const { sections } = decodeSections(value) as Value;
      if (sections.some(({ table }) => table === BLOCKED)) continue;
      const { owner } = await startedOn(new Map([...written, [key, turned(value, 40, 1)]]));
      const { verdicts } = owner.peek([{ key: BLOCKED_KEY, policies: [TEN_A_DAY] }]);
      expect(verdicts[0]?.[0]?.reason).toBe("blocked");
      damaged++;
    }
    expect(damaged).toBeGreaterThan(1);
  });
});
