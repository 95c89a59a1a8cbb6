import "./runs.ts";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CHECKPOINT_INTERVAL_MS } from "../../src/owner/checkpoint/saver.ts";
import type { Owner } from "../../src/owner/owner.ts";
import { Bench } from "../owner/memory-storage.ts";
import { TEN_A_DAY } from "../owner/ten-a-day.ts";

const POLICIES = [
  TEN_A_DAY,
  { ...TEN_A_DAY, name: "log", algorithm: "sliding-log" as const },
  { ...TEN_A_DAY, name: "durable", durable: true },
];
const KEYS = 40;

let written: Map<string, unknown>;
let errors: string[];

/** An owner's storage with all it ever holds: segments, changed rows, single counters. */
async function checkpointed(): Promise<Map<string, unknown>> {
  const bench = new Bench();
  const owner = await bench.start();
  const spend = (from: number, to: number, policies = POLICIES) =>
    owner.check(
      Array.from({ length: to - from }, (_, at) => ({
        key: { hi: from + at, lo: from + at },
        policies,
      })),
    );
  spend(0, KEYS);
  await bench.wait(CHECKPOINT_INTERVAL_MS);
  spend(5, 9);
  await bench.wait(CHECKPOINT_INTERVAL_MS);
  spend(0, 2, POLICIES.slice(2));
  return bench.storage.entries;
}

async function startedOn(entries: Map<string, unknown>): Promise<{ owner: Owner; bench: Bench }> {
  const bench = new Bench();
  for (const [key, value] of structuredClone(entries)) bench.storage.entries.set(key, value);
  return { owner: await bench.start(), bench };
}

/** The same with one bit of one number turned, or a string changed, somewhere within. */
function damaged(value: unknown, place: number, bit: number): unknown {
  if (value instanceof Uint8Array) {
    const bytes = value.slice();
    const at = place % bytes.length;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
    return bytes;
  }
  if (typeof value === "number") return value ^ (1 << bit);
  if (typeof value === "string") return `${value}x`;
  if (value === null) return 0;
  const fields = Object.entries(value as object);
  const [name, field] = fields[place % fields.length] as [string, unknown];
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) };
  const isHollow = typeof field === "object" && field !== null && Object.keys(field).length === 0;
  return Object.assign(copy, {
    [name]: isHollow ? "x" : damaged(field, Math.floor(place / fields.length), bit),
  });
}

beforeEach(async () => {
  errors = [];
  vi.spyOn(console, "error").mockImplementation((line) => void errors.push(line));
  written = await checkpointed();
});

afterEach(() => vi.restoreAllMocks());

describe("a checkpoint that is not what was written", () => {
  const anywhere = fc.record({ entry: fc.nat(), place: fc.nat(), bit: fc.nat({ max: 30 }) });

  it("is the one that is read, if nothing happened to it", async () => {
    const { owner } = await startedOn(written);
    expect(owner.keys).toBe(POLICIES.length * KEYS);
    expect(errors).toEqual([]);
  });

  it("is refused whole and logged, and the owner starts fresh", async () => {
    await fc.assert(
      fc.asyncProperty(
        anywhere,
        fc.constantFrom("turned", "cut", "gone", "future"),
        async ({ entry, place, bit }, harm) => {
          const entries = new Map(written);
          const keys = [...entries.keys()];
          const key = keys[entry % keys.length] as string;
          const value = entries.get(key);
          if (harm === "turned") entries.set(key, damaged(value, place, bit));
          else if (harm === "cut" && value instanceof Uint8Array) {
            entries.set(key, value.slice(0, place % value.length));
          } else if (harm === "gone" && !key.startsWith("journal/")) entries.delete(key);
          else entries.set("checkpoint", { ...(written.get("checkpoint") as object), version: 9 });

          const { owner, bench } = await startedOn(entries);
          expect(owner.keys).toBe(0);
          expect(bench.storage.entries.size).toBe(0);
          expect(errors.at(-1)).toContain('"event":"checkpoint-refused"');
          errors.length = 0;
          const fresh = owner.check([{ key: { hi: 1, lo: 1 }, policies: POLICIES }]);
          expect(fresh.verdicts[0]?.[0]).toMatchObject({ allowed: true, remaining: 9 });
        },
      ),
    );
  });
});
