import { beforeEach, describe, expect, it } from "vitest";
import { Batcher, MAX_BATCH, MAX_CALLS } from "../../src/caller/batcher.ts";
import type { Check } from "../../src/counters/check.ts";
import type { Batch } from "../../src/protocol/wire.ts";
import type { Answer } from "../../src/protocol/wire-answer.ts";
import { FakeTime } from "../fake-runtime.ts";

/** The longest that a call takes. */
const CALL_MS = 100;
/** The version of the ring. */
const VERSION = 1;

let time: FakeTime;

beforeEach(() => {
  time = new FakeTime();
});

const check = (n: number): Check => ({ key: { hi: 0, lo: n }, policies: [] });

/** Answers each check with its own number, after a while. */
function slowOwner(afterMs: number) {
  const batches: number[][] = [];
  const send = async (_: string, { checks }: Batch): Promise<Answer> => {
    batches.push(checks.map(({ key }) => key.lo));
    await time.wait(afterMs);
    return {
      atMs: 0,
      epoch: 0,
      verdicts: checks.map(({ key }) => [
        { allowed: true, remaining: key.lo, resetMs: 0, retryAfterMs: 0, delayMs: 0, reason: "ok" },
      ]),
    };
  };
  return { batches, send };
}

const numberOf = ({ verdicts }: Answer) => verdicts[0]?.[0]?.remaining;

describe("coalescing", () => {
  it("never waits while the owner has no call in flight", async () => {
    const { send } = slowOwner(0);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    await time.until(batcher.ask("a", VERSION, check(1)));
    await time.until(batcher.ask("a", VERSION, check(2)));
    // Only the fake owner waits: 0 ms in each call.
    expect(time.asked).toEqual([0, 0]);
  });

  it("shares a call among checks that arrive during another, and gives each its answer", async () => {
    const { batches, send } = slowOwner(20);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    const asked = Array.from({ length: 50 }, (_, n) => batcher.ask("a", VERSION, check(n)));
    expect((await time.until(Promise.all(asked))).map(numberOf)).toEqual(
      Array.from({ length: 50 }, (_, n) => n),
    );
    expect(batches.map((batch) => batch.length)).toEqual([1, 49]);
  });

  it("keeps owners apart", async () => {
    const { batches, send } = slowOwner(20);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    const asked = ["a", "b", "c"].map((owner, n) => batcher.ask(owner, VERSION, check(n)));
    await time.until(Promise.all(asked));
    expect(batches).toEqual([[0], [1], [2]]);
  });

  it("keeps checks that were sent by different rings apart", async () => {
    const { send } = slowOwner(20);
    const versions = new Map<number, Set<number>>();
    const batcher = new Batcher(
      (owner, batch) => {
        for (const { key } of batch.checks) {
          const known = versions.get(batch.version) ?? new Set();
          versions.set(batch.version, known.add(key.lo % 2));
        }
        return send(owner, batch);
      },
      time.runtime,
      CALL_MS,
    );
    const asked = Array.from({ length: 20 }, (_, n) => batcher.ask("a", n % 2, check(n)));
    expect((await time.until(Promise.all(asked))).map(numberOf)).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
    expect([...versions].map(([version, sent]) => [version, ...sent])).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  it("bounds a batch", async () => {
    const { batches, send } = slowOwner(20);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    const count = 2 * MAX_BATCH + 10;
    const asked = Array.from({ length: count }, (_, n) => batcher.ask("a", VERSION, check(n)));
    expect((await time.until(Promise.all(asked))).map(numberOf)).toEqual(
      Array.from({ length: count }, (_, n) => n),
    );
    expect(Math.max(...batches.map((batch) => batch.length))).toBe(MAX_BATCH);
  });

  it("sends an owner that is slow fewer and larger calls, not a queue of them", async () => {
    const { batches, send } = slowOwner(50);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    const asked: Promise<Answer>[] = [];
    for (let n = 0; n < 40; n++) {
      asked.push(batcher.ask("a", VERSION, check(n)));
      await time.pass(2);
    }
    expect(batches.flat().length).toBeLessThan(40);
    expect((await time.until(Promise.all(asked))).map(numberOf)).toEqual(
      Array.from({ length: 40 }, (_, n) => n),
    );
    expect(batches.length).toBeLessThan(20);
  });

  it("calls a distant owner again before it has answered, within a bound", async () => {
    const { batches, send } = slowOwner(1_000);
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    for (let n = 0; n < 40; n++) {
      void batcher.ask("a", VERSION, check(n));
      await time.pass(2);
      if (n === 10) expect(batches.length).toBeGreaterThan(3);
    }
    expect(batches.length).toBe(MAX_CALLS);
  });

  it("makes another call while all calls under way hang", async () => {
    const { send } = slowOwner(0);
    let calls = 0;
    const hang = () => new Promise<Answer>(() => {});
    const batcher = new Batcher(
      (owner, batch) => (++calls <= MAX_CALLS ? hang() : send(owner, batch)),
      time.runtime,
      CALL_MS,
    );
    for (let n = 0; n < MAX_CALLS; n++) {
      void batcher.ask("a", VERSION, check(n));
      await time.pass(10);
    }
    expect(numberOf(await time.until(batcher.ask("a", VERSION, check(9))))).toBe(9);
  });

  it("rejects every check that shares a failed call", async () => {
    const send = async () => {
      await time.wait(20);
      throw new Error("broken");
    };
    const batcher = new Batcher(send, time.runtime, CALL_MS);
    const asked = Array.from({ length: 5 }, (_, n) => batcher.ask("a", VERSION, check(n)));
    const ends = await time.until(Promise.allSettled(asked));
    expect(ends.map(({ status }) => status)).toEqual(Array(5).fill("rejected"));
    const { send: fine } = slowOwner(0);
    expect(
      numberOf(
        await time.until(new Batcher(fine, time.runtime, CALL_MS).ask("a", VERSION, check(7))),
      ),
    ).toBe(7);
  });

  it("calls by itself if the sender never does", async () => {
    const { batches, send } = slowOwner(20);
    let calls = 0;
    const batcher = new Batcher(
      (owner, batch) => {
        // The second call is made by a request that was ended.
        return ++calls === 2 ? new Promise(() => {}) : send(owner, batch);
      },
      time.runtime,
      CALL_MS,
    );
    const [first, , follower] = [0, 1, 2].map((n) => batcher.ask("a", VERSION, check(n)));
    expect(numberOf(await time.until(first as Promise<Answer>))).toBe(0);
    expect(numberOf(await time.until(follower as Promise<Answer>))).toBe(2);
    expect(batches).toEqual([[0], [2]]);
  });

  it("gathers anew if the first to gather never sends", async () => {
    const { batches, send } = slowOwner(20);
    // The runtime has ended the request that gathers.
    let waits = 0;
    const wait = (ms: number) => (++waits === 1 ? new Promise<void>(() => {}) : time.wait(ms));
    const batcher = new Batcher(send, { ...time.runtime, wait }, CALL_MS);
    const [, , follower] = [0, 1, 2].map((n) => batcher.ask("a", VERSION, check(n)));
    expect(numberOf(await time.until(follower as Promise<Answer>))).toBe(2);
    expect(numberOf(await time.until(batcher.ask("a", VERSION, check(3))))).toBe(3);
    expect(batches).toEqual([[0], [2], [3]]);
  });
});
