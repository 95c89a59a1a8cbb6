/**
 * What each version of the disk format wrote, recorded from its own code: 5,000 keys under a
 * policy, forty under four others, changed rows, rows of durable policies, a block, marks of a ring
 * change.
 */
import { expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { HEAD } from "../../src/owner/checkpoint/format.ts";
import { PAGE } from "../../src/owner/checkpoint/pages.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import version4 from "./checkpoint-4.json";
import pages5 from "./checkpoint-5.json";
import log5 from "./checkpoint-5-log.json";
import { OwnerRig } from "./owner-rig.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const FIXED = named("fixed");
const LOG = named("log", "sliding-log");
const SLIDING = named("sliding", "sliding-window");
const BUCKET = named("bucket", "token-bucket");
const DURABLE = { ...named("durable"), durable: true };

function named(name: string, algorithm = TEN_A_DAY.algorithm): CounterPolicy {
  return { ...TEN_A_DAY, name, algorithm };
}

async function unpacked({ gzip }: { gzip: string }): Promise<OwnerRig> {
  const bytes = Uint8Array.from(atob(gzip), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { nowMs, entries } = (await new Response(stream).json()) as {
    nowMs: number;
    entries: [key: string, value: unknown][];
  };
  const rig = new OwnerRig();
  rig.nowMs = nowMs;
  for (const [key, value] of entries) {
    const isBytes = typeof value === "string";
    const each = isBytes ? Uint8Array.from(atob(value), (char) => char.charCodeAt(0)) : value;
    rig.storage.entries.set(key, each);
  }
  return rig;
}

it.each([
  { version: "4", recorded: version4, isCrash: false },
  // These were recorded a moment after a change, with the crash mark.
  { version: "5 with pages", recorded: pages5, isCrash: true },
  // With copies, a dropped table, and rows that were appended after the head.
  { version: "5 with a log alone", recorded: log5, isCrash: true },
])("an owner goes on from what version $version wrote, and writes the same", async (each) => {
  const { recorded, isCrash } = each;
  const rig = await unpacked(recorded);
  for (let start = 0; start < 3; start++) {
    const owner = await rig.start();
    const ask = (n: number, policy: CounterPolicy) => {
      const key = sipHash(PUBLIC_SIP_KEY, `${n}`);
      const { verdicts, inexact } = owner.peek([{ key, policies: [policy] }]);
      return [verdicts[0]?.[0]?.remaining, verdicts[0]?.[0]?.reason, inexact?.[0] ?? false];
    };
    expect(ask(0, FIXED)).toEqual([7, "ok", isCrash]);
    expect(ask(2, FIXED)).toEqual([7, "ok", true]);
    expect(ask(3, FIXED)).toEqual([7, "blocked", isCrash]);
    for (let n = 40; n < 5_000; n++) expect(ask(n, FIXED)).toEqual([9, "ok", isCrash]);
    expect(ask(4, LOG)).toEqual([8, "ok", isCrash]);
    expect(ask(5, LOG)).toEqual([9, "ok", isCrash]);
    expect(ask(38, SLIDING)).toEqual([9, "ok", isCrash]);
    expect(ask(39, SLIDING)).toEqual([10, "ok", isCrash]);
    expect(ask(5, BUCKET)).toEqual([9, "ok", isCrash]);
    expect(ask(9, DURABLE)).toEqual([9, "ok", false]);
    expect(ask(12, DURABLE)).toEqual([6, "ok", false]);
    expect(owner.tables.get("taken/7")?.size).toBe(1);
    if (start > 0) await owner.save();
  }
  const keys = [...rig.storage.entries.keys()];
  const old = keys.filter((key) => key.startsWith("checkpoint") || key.startsWith("journal"));
  expect(old).toEqual([]);
});

it("an owner deletes the pages of an earlier release once its log has all of them", async () => {
  const rig = await unpacked(pages5);
  const pages = () => [...rig.storage.entries.keys()].filter((key) => key.startsWith(PAGE));
  expect(pages().length).toBeGreaterThan(5);
  for (let round = 0; pages().length > 0; round++) {
    expect(round).toBeLessThan(50);
    const owner = await rig.start();
    const key = sipHash(PUBLIC_SIP_KEY, "late");
    owner.check([{ key, policies: [FIXED] }]);
    const rows = owner.keys;
    await owner.save();
    expect((await rig.copy().start()).keys).toBe(rows);
  }
  expect((await rig.start()).keys).toBe(5_000 + 39 + 3 * 40 + 3 + 1);
});

it.each([false, true])(
  "an owner that is killed once it has replaced pages knows that one was damaged (head damaged: %s)",
  async (isHeadDamaged) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const pages = [...(await unpacked(pages5)).storage.entries.keys()].filter((key) =>
      key.startsWith(PAGE),
    );
    for (const page of pages) {
      const rig = await unpacked(pages5);
      for (const key of isHeadDamaged ? [page, HEAD] : [page]) {
        const bytes = rig.storage.entries.get(key) as Uint8Array;
        bytes[30] = (bytes[30] ?? 0) ^ 1;
      }
      for (let start = 0; start < 3; start++) {
        const owner = await rig.start();
        const { inexact } = owner.peek([
          { key: sipHash(PUBLIC_SIP_KEY, "9"), policies: [DURABLE] },
        ]);
        expect(inexact).toEqual([true]);
        if (start > 0) await owner.save();
      }
    }
    vi.restoreAllMocks();
  },
);

it("an owner that is killed while it replaces what version 4 wrote loses nothing", async () => {
  for (let calls = 0; ; calls++) {
    const rig = await unpacked(version4);
    let left = calls;
    for (const name of ["put", "delete"] as const) {
      const write = rig.storage[name].bind(rig.storage);
      vi.spyOn(rig.storage, name).mockImplementation(async (each: string | object) => {
        if (left-- <= 0) throw new Error("killed");
        return write(each as string & string[]) as never;
      });
    }
    const isDone = await rig.start().then(
      () => true,
      () => false,
    );
    vi.restoreAllMocks();
    const owner = await rig.start();
    expect(owner.keys).toBe(5_000 + 39 + 3 * 40 + 3);
    if (isDone) return;
  }
});
