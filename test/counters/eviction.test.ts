import { afterEach, describe, expect, it, vi } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { Counters } from "../../src/counters/counters.ts";
import { TABLE_BYTES } from "../../src/counters/tables.ts";
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { OwnerRig } from "../owner/owner-rig.ts";
import { DAY_MS, TEN_A_DAY } from "../owner/ten-a-day.ts";
import { keysUpTo } from "./keys-up-to.ts";

const NOW_MS = 1_700_000_000_000;
const ROW_BYTES = 24;
const POLICY: CounterPolicy = { ...TEN_A_DAY, algorithm: "token-bucket" };

function keyOf(name: string): KeyHash {
  return sipHash(PUBLIC_SIP_KEY, name);
}

function spend(counters: Counters, key: KeyHash, cost: number, policy = POLICY) {
  return counters.check({ key, policies: [{ ...policy, cost }] }, NOW_MS)[0];
}

function knows(counters: Counters, key: KeyHash, policy = POLICY): boolean {
  return counters.explain({ key, policies: [policy] }, NOW_MS)[0]?.stored !== null;
}

afterEach(() => vi.restoreAllMocks());

describe("full counters", () => {
  it("evict the sampled row that expires first, and count it", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 20 * ROW_BYTES });
    // The more is spent, the longer a token bucket takes to refill, and the later its row expires.
    const [soonest, ...others] = keysUpTo(20);
    for (const key of others) spend(counters, key, 5);
    spend(counters, soonest as KeyHash, 2);
    expect(counters.tables.evicted).toBe(0);
    spend(counters, keyOf("new"), 5);
    expect(counters.tables).toMatchObject({ size: 20, evicted: 1 });
    expect(knows(counters, soonest as KeyHash)).toBe(false);
    expect(knows(counters, keyOf("new"))).toBe(true);
  });

  it("count a new key while all others are denied, or it would pass without a limit", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 1_000 * ROW_BYTES });
    for (const key of keysUpTo(1_000, "denied")) spend(counters, key, 10);
    for (let n = 0; n < 10; n++) spend(counters, keyOf("new"), 1);
    expect(spend(counters, keyOf("new"), 1)?.allowed).toBe(false);
    expect(counters.tables).toMatchObject({ size: 1_000, evicted: 1 });
  });

  it("drop no denied key while an allowed one can be dropped", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 1_000 * 32 });
    const policy = { ...POLICY, algorithm: "sliding-window" } as const;
    const seamMs = Math.ceil(NOW_MS / DAY_MS) * DAY_MS;
    const check = (key: KeyHash, cost: number, nowMs: number) =>
      counters.check({ key, policies: [{ ...policy, cost }] }, nowMs)[0];
    // Spent before the seam, so that they expire a day before the allowed ones.
    const denied = keysUpTo(900, "denied");
    for (const key of denied) check(key, 10, seamMs - 1);
    for (const key of keysUpTo(5_000, "allowed")) check(key, 1, seamMs);
    for (const key of denied) expect(check(key, 1, seamMs)?.allowed).toBe(false);
    expect(counters.tables).toMatchObject({ size: 1_000, evicted: 4_900 });
  });

  it("drop a denied key if all are denied, the new one too", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 50 * ROW_BYTES });
    for (const key of keysUpTo(60)) spend(counters, key, 10);
    expect(counters.tables).toMatchObject({ size: 50, evicted: 10 });
    expect(knows(counters, keyOf("59"))).toBe(true);
  });

  it("never drop a block", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 50 * ROW_BYTES });
    const blocked = keysUpTo(40, "blocked");
    for (const key of blocked) counters.block(key, NOW_MS + 1);
    for (const key of keysUpTo(500)) spend(counters, key, 1);
    for (const key of blocked) expect(counters.blockedMs(key, NOW_MS)).toBe(1);
  });

  it("take room from the largest table, so that a small one still counts", () => {
    const counters = new Counters({ maxBytes: 2 * TABLE_BYTES + 200 * ROW_BYTES });
    for (const key of keysUpTo(500)) spend(counters, key, 1);
    const small = { ...POLICY, name: "small", windowMs: 1_000 };
    for (const key of keysUpTo(50)) spend(counters, key, 1, small);
    for (const key of keysUpTo(50)) expect(knows(counters, key, small)).toBe(true);
  });

  it("remove an expired row first, and do not count that", () => {
    const counters = new Counters({ maxBytes: TABLE_BYTES + 20 * ROW_BYTES });
    const short = { ...POLICY, windowMs: 1_000 };
    for (const key of keysUpTo(20)) spend(counters, key, 1, short);
    for (const key of keysUpTo(20, "later")) {
      counters.check({ key, policies: [short] }, NOW_MS + 1_000);
    }
    expect(counters.tables).toMatchObject({ size: 20, evicted: 0 });
  });
});

describe("a full owner", () => {
  it("stays in memory until it has warned of all dropped counters", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const rig = new OwnerRig();
    const owner = await rig.start(TABLE_BYTES + 20 * ROW_BYTES);
    for (const key of keysUpTo(100)) {
      owner.check([{ key, policies: [POLICY] }]);
      await rig.wait(100);
    }
    await rig.wait(40_000);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(rig.isAwake).toBe(true);
    await rig.wait(20_000);
    expect(rig.isAwake).toBe(false);
    const told = warn.mock.calls.map(([text]) => JSON.parse(text) as { dropped: number });
    expect(told).toHaveLength(2);
    expect(told.reduce((all, { dropped }) => all + dropped, 0)).toBe(80);
  });

  it.each([1, 5, 12])(
    "warns that counters were dropped, at most once a minute where one is dropped every %s s",
    async (seconds) => {
      const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
      const rig = new OwnerRig();
      const owner = await rig.start(TABLE_BYTES + 20 * ROW_BYTES);
      for (const key of keysUpTo(20 + 100 / seconds)) {
        owner.check([{ key, policies: [POLICY] }]);
        await rig.wait(seconds * 1_000);
      }
      expect(warn).toHaveBeenCalledTimes(2);
      expect(JSON.parse(warn.mock.calls[0]?.[0])).toEqual({
        event: "counters-dropped",
        dropped: expect.any(Number),
        kept: 20,
      });
    },
  );
});
