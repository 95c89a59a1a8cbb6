/**
 * Answers say `inexact` for as long as lost counts can matter, and no longer. Times are literal.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Check, CounterPolicy } from "../../src/counters/check.ts";
import { RingOwner } from "../../src/owner/change/ring-owner.ts";
import { CRASH_MARK } from "../../src/owner/checkpoint/format.ts";
import type { RingRecord } from "../../src/protocol/ring-record.ts";
import { encodeBatch, type WireBatch } from "../../src/protocol/wire.ts";
import { decodeAnswer, type WireAnswer } from "../../src/protocol/wire-answer.ts";
import { PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";
import { Ring } from "../../src/ring/ring.ts";
import { STILL } from "../fake-runtime.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const NOON = Date.parse("2026-11-25T12:00:00Z");
const at = (time: string) => Date.parse(`2026-11-${time}Z`);
const TWO = ["weur/0", "weur/1"];
const KEYS = Array.from({ length: 50 }, (_, n) => sipHash(PUBLIC_SIP_KEY, `${n}`));
const [THEIRS, OURS] = ["weur/1", "weur/0"].map((name) =>
  KEYS.find((key) => new Ring(TWO).ownerOf(key) === name),
) as [Check["key"], Check["key"]];

const MINUTE: CounterPolicy = { ...TEN_A_DAY, name: "minute", windowMs: 60_000 };
/** An empty bucket is full again after five minutes. */
const BUCKET: CounterPolicy = {
  ...MINUTE,
  algorithm: "token-bucket",
  capacity: 50,
  name: "bucket",
};
/** A key that was blocked for an hour, and denied again within two, is blocked for longer. */
const BLOCKING: CounterPolicy = {
  ...MINUTE,
  name: "blocking",
  blockFor: { firstMs: 60_000, maxMs: 3_600_000 },
};

/** An owner whose neighbour is given up, or does not release. */
class Cluster {
  nowMs = NOON;
  readonly #storage = new MemoryStorage();
  owner!: RingOwner;

  /** Starts the owner, as after an eviction, which comes when the owner is idle. */
  async start(ring: RingRecord): Promise<this> {
    this.#storage.entries.delete(CRASH_MARK);
    this.owner = new RingOwner({
      name: "weur/0",
      runtime: { ...STILL, now: () => this.nowMs },
      storage: this.#storage,
      ownerStub: () => ({ release: async () => refuse(), releaseSome: async () => refuse() }),
      membershipStub: () => ({ ring: async () => ring, reportLoad: async () => {} }),
      deadlineMs: 100,
      highWater: 0,
    });
    await this.owner.load();
    return this;
  }

  /** Returns true if the owner's answer about this key and policy is exact, and comes at once. */
  ask(time: string, key: Check["key"], ...policies: CounterPolicy[]) {
    this.nowMs = at(time);
    const checks = [{ key, policies }];
    const batch: WireBatch = encodeBatch({ version: 2, checks });
    const answer = this.owner.peek(batch);
    expect(answer).not.toBeInstanceOf(Promise);
    return decodeAnswer(answer as WireAnswer, checks)?.inexact?.[0] !== true;
  }
}

beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));
afterEach(() => vi.restoreAllMocks());

function refuse(): never {
  throw new Error("gone");
}

describe("counts that got lost with an owner", () => {
  const lost = [{ owner: "weur/1", owners: TWO, atMs: NOON }];
  const ring: RingRecord = { version: 2, owners: ["weur/0"], lost };

  it.each([
    ["a window of a minute", MINUTE, "25T12:01:59.999", "25T12:02:00"],
    ["a bucket that is full after five", BUCKET, "25T12:04:59.999", "25T12:05:00"],
    ["blocks of up to an hour", BLOCKING, "25T14:59:59.999", "25T15:00:00"],
    ["a window of a day", TEN_A_DAY, "27T11:59:59.999", "27T12:00:00"],
  ])("matter under %s as long as anything counted there", async (_, policy, last, first) => {
    const cluster = await new Cluster().start(ring);
    expect(cluster.ask("25T12:00:00", THEIRS, policy)).toBe(false);
    expect(cluster.ask(last, THEIRS, policy)).toBe(false);
    expect(cluster.ask(first, THEIRS, policy)).toBe(true);
  });

  it("matter for no other key, and as long as under the longest of several policies", async () => {
    const cluster = await new Cluster().start(ring);
    expect(cluster.ask("25T12:00:01", OURS, MINUTE)).toBe(true);
    expect(cluster.ask("25T12:02:00", THEIRS, MINUTE, BUCKET)).toBe(false);
    expect(cluster.ask("25T12:05:00", THEIRS, MINUTE, BUCKET)).toBe(true);
  });
});

describe("counts of one key that were never released", () => {
  const previous = { version: 1, owners: TWO };
  const during: RingRecord = { version: 2, owners: ["weur/0"], previous, lost: [] };
  const settled: RingRecord = { version: 2, owners: ["weur/0"], lost: [] };

  it("matter as long, after a restart too, and then slow down no check", async () => {
    const cluster = await new Cluster().start(during);
    await cluster.owner.check(
      encodeBatch({ version: 2, checks: [{ key: THEIRS, policies: [MINUTE] }] }),
    );
    await cluster.owner.adopt(settled);
    expect(cluster.ask("25T12:01:59.999", THEIRS, MINUTE)).toBe(false);
    expect(cluster.ask("25T12:01:59.999", OURS, MINUTE)).toBe(true);
    await cluster.start(settled);
    expect(cluster.ask("25T12:01:59.999", THEIRS, MINUTE)).toBe(false);
    expect(cluster.ask("25T12:02:00", THEIRS, MINUTE)).toBe(true);
    expect(cluster.ask("27T11:59:59.999", THEIRS, TEN_A_DAY)).toBe(false);
    expect(cluster.ask("27T12:00:00", THEIRS, TEN_A_DAY)).toBe(true);
  });
});
