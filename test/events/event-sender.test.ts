import { describe, expect, it } from "vitest";
import { EventSender } from "../../src/events/event-sender.ts";
import type { Batch } from "../../src/events/event-store.ts";
import { FakeTime } from "../fake-runtime.ts";

function startSender(fail: () => boolean = () => false, onSend?: () => void) {
  const time = new FakeTime();
  const batches: Batch[] = [];
  /** In which second each batch came. */
  const seconds: number[] = [];
  const sender = new EventSender({
    runtime: time.runtime,
    ownerOf: () => "weur/0",
    record: async (_, batch) => {
      batches.push(batch);
      seconds.push(Math.floor(time.runtime.now() / 1_000));
      await time.runtime.wait(120);
      if (fail()) throw new Error("silent");
    },
    newSender: () => "isolate",
    random: Math.random,
    onSend,
  });
  return { time, batches, seconds, sender };
}

function totalOf(batches: readonly Batch[]): number {
  const amounts = batches.flatMap(({ counts }) => counts.filter((_, at) => at % 3 === 2));
  return amounts.reduce((sum: number, amount) => sum + Number(amount), 0);
}

describe("a sender of events", () => {
  it("sends an owner one batch a second, whatever is counted meanwhile", async () => {
    const { time, batches, sender } = startSender();
    for (let n = 0; n < 50; n++) {
      sender.count("api", `key${n % 3}`, 1);
      await time.pass(100);
    }
    await time.pass(2_000);
    expect(batches.length).toBeLessThanOrEqual(7);
    expect(totalOf(batches)).toBe(50);
  });

  it("sends in each second once, so that no second of an owner has two batches or none", async () => {
    const { time, seconds, sender } = startSender();
    for (let n = 0; n < 900; n++) {
      sender.count("api", "key", 1);
      await time.pass(70);
    }
    const [first = 0] = seconds;
    expect(seconds.length).toBeGreaterThan(60);
    expect(seconds).toEqual(seconds.map((_, at) => first + at));
  });

  it("keeps no more than its bound, and loses no unit of any name", async () => {
    const { time, batches, sender } = startSender();
    for (let n = 0; n < 60_000; n++) sender.count(`name${n % 30_000}`, `key${n}`, 1);
    await time.pass(20_000);
    expect(totalOf(batches)).toBe(60_000);
    const tuples = batches.reduce((sum, { counts }) => sum + counts.length / 3, 0);
    expect(tuples).toBeLessThan(20_100);
    expect(batches.map(({ number }) => number)).toEqual(batches.map((_, at) => at + 1));
  });

  it("tells each time that it sends, and no more once all is sent", async () => {
    let sends = 0;
    const { time, sender } = startSender(undefined, () => sends++);
    for (let n = 0; n < 30; n++) {
      sender.count("api", "key", 1);
      await time.pass(100);
    }
    await time.pass(60_000);
    expect(sends).toBeGreaterThanOrEqual(3);
    expect(sends).toBeLessThanOrEqual(5);
  });

  it("gives a batch up after two minutes, and goes on with what came since", async () => {
    let isSilent = true;
    const { time, batches, sender } = startSender(() => isSilent);
    for (let second = 0; second < 130; second++) {
      sender.count("api", "key", 1);
      await time.pass(1_000);
    }
    expect(new Set(batches.slice(0, 100).map(({ number }) => number)).size).toBe(1);
    isSilent = false;
    const known = batches.length;
    sender.count("api", "key", 1);
    await time.pass(5_000);
    const after = new Map(batches.slice(known).map((batch) => [batch.number, batch]));
    expect(totalOf([...after.values()])).toBeGreaterThanOrEqual(120);
  });
});
