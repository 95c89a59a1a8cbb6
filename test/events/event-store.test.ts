import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addToSeries, distinctOf, type Point, topOf } from "../../src/events/answers.ts";
import { Bin } from "../../src/events/bin.ts";
import { EventRows } from "../../src/events/event-rows.ts";
import { EventStore } from "../../src/events/event-store.ts";
import { DISTINCT_ERROR } from "../../src/events/hyper-log-log.ts";
import { EVER, HOUR, LEVELS, type Level, MINUTE, startOf } from "../../src/events/level.ts";
import { keyOf } from "../../src/events/tuple.ts";
import { sqliteStorage, valueHash } from "./world.ts";

/** A million takes seconds: `EVENT_TUPLES=1000000 npm test -- test/events/event-store.test.ts`. */
const TUPLES = Number(process.env.EVENT_TUPLES ?? 100_000);
/** What the room's README states. */
const MAX_BYTES = 24_000_000;
const START_MS = Date.UTC(2026, 10, 1, 9, 59, 58);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ count: fc.integer({ min: 1, max: 9 }), to: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ passMs: fc.constantFrom(1, 700, 2_000, 50_000) }) },
  fc.record({ passMs: fc.constantFrom(1_800_000, 3_600_000, 90_000_000) }),
  { weight: 2, arbitrary: fc.record({ write: fc.constant(true) }) },
  fc.record({ restart: fc.constantFrom(true, false) }),
);

interface Counted {
  atMs: number;
  customer: string;
  amount: number;
}

function expectedSeries(counted: Counted[], level: Level, fromMs: number, customer?: string) {
  const points = new Map<number, number>();
  for (const each of counted) {
    const atMs = startOf(level, each.atMs);
    if (atMs < startOf(level, fromMs)) continue;
    if (customer !== undefined && each.customer !== customer) continue;
    points.set(atMs, (points.get(atMs) ?? 0) + each.amount);
  }
  return points;
}

function series(store: EventStore, level: Level, fromMs: number, nowMs: number, customer?: string) {
  const points = new Map<number, Point>();
  const filter: Record<string, string> = customer === undefined ? {} : { customer };
  const tallies = store.tallies(["api"], { level, fromMs, toMs: 1e15 }, nowMs);
  addToSeries(points, tallies, { name: "api", filter, level });
  const found = [...points.values()].filter(({ count }) => count > 0);
  return new Map(found.map(({ atMs, count }) => [atMs, count]));
}

describe("an event store", () => {
  it("has each second, minute and hour as it was, through writes, restarts and crashes", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const storage = sqliteStorage();
        let store = new EventStore(new EventRows(storage), valueHash);
        let nowMs = START_MS;
        let number = 0;
        let counted: Counted[] = [];
        let written = 0;
        for (const each of steps) {
          if ("passMs" in each) nowMs += each.passMs;
          if ("count" in each) {
            const customer = `c${each.to}`;
            const batch = {
              sender: "isolate",
              number: ++number,
              counts: ["api", keyOf({ customer }), each.count],
            };
            store.record(batch, nowMs);
            store.record(batch, nowMs);
            counted.push({ atMs: nowMs, customer, amount: each.count });
          }
          if ("write" in each || ("restart" in each && each.restart)) {
            store.write(nowMs);
            written = counted.length;
          }
          if ("restart" in each) {
            store = new EventStore(new EventRows(storage), valueHash);
            counted = counted.slice(0, written);
          }
          for (const level of LEVELS) {
            const fromMs = nowMs - level.keptMs;
            const whole = series(store, level, fromMs, nowMs);
            expect(whole).toEqual(expectedSeries(counted, level, fromMs));
            const one = series(store, level, fromMs, nowMs, "c1");
            expect(one).toEqual(expectedSeries(counted, level, fromMs, "c1"));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("counts nothing in a minute that is over, even if its clock was set back", () => {
    const storage = sqliteStorage();
    const counts = ["api", "[]", 1];
    let store = new EventStore(new EventRows(storage), valueHash);
    store.record({ sender: "a", number: 1, counts }, START_MS);
    store.write(START_MS + 60_000);
    store = new EventStore(new EventRows(storage), valueHash);
    store.record({ sender: "a", number: 2, counts }, START_MS - 90_000);
    store.write(START_MS - 90_000);
    store = new EventStore(new EventRows(storage), valueHash);
    for (const level of LEVELS) {
      const found = series(store, level, START_MS - level.keptMs / 2, START_MS);
      expect([...found.values()].reduce((a, b) => a + b)).toBe(2);
    }
  });

  it("keeps the sum of the limiter's own names for ever, through writes and restarts", () => {
    const storage = sqliteStorage();
    let store = new EventStore(new EventRows(storage), valueHash);
    let nowMs = START_MS;
    for (let number = 1; number <= 900; number++) {
      const counts = ["turnpike.decisions", keyOf({ policy: "a" }), 2, "api", "[]", 1];
      store.record({ sender: "a", number, counts }, nowMs);
      if (number % 3 === 0) store.write(nowMs);
      if (number % 9 === 0) store = new EventStore(new EventRows(storage), valueHash);
      nowMs += number % 7 === 0 ? 40 * 86_400_000 : 20_000;
    }
    let sum = 0;
    const ever = { level: EVER, fromMs: 0, toMs: EVER.ms };
    for (const { tally } of store.tallies(["turnpike.decisions"], ever, nowMs)) sum += tally.total;
    expect(sum).toBe(1_800);
  });

  it("has names with many tuples and with few, read by themselves, and clients for a day", () => {
    const storage = sqliteStorage();
    let store = new EventStore(new EventRows(storage), valueHash);
    for (let number = 1; number <= 130; number++) {
      const counts: (string | number)[] = ["few", "[]", 1];
      for (let n = 0; n < 50; n++) counts.push("many", keyOf({ n: `${n}` }), 1);
      for (let n = 0; n < 50; n++) counts.push("turnpike-clients", keyOf({ n: `${n}` }), 1);
      store.record({ sender: "a", number, counts }, START_MS + number * 1_000);
      if (number % 3 === 0) store.write(START_MS + number * 1_000);
      if (number === 64) store.write(START_MS + number * 1_000);
      if (number === 64) store = new EventStore(new EventRows(storage), valueHash);
    }
    const nowMs = START_MS + 3_600_000;
    store.write(nowMs);
    const read = (name: string, level: Level) => {
      const bins = { level, fromMs: START_MS - 3_600_000, toMs: nowMs };
      return [...store.tallies([name], bins, nowMs)].reduce(
        (sum, { tally }) => sum + tally.total,
        0,
      );
    };
    const totals = (level: Level) =>
      ["few", "many", "turnpike-clients", "none"].map((name) => read(name, level));
    expect(totals(MINUTE)).toEqual([130, 6_500, 6_500, 0]);
    expect(totals(HOUR)).toEqual([130, 6_500, 0, 0]);
    const names = storage.sql.exec("SELECT DISTINCT name FROM lines ORDER BY name");
    expect([...names].map(({ name }) => name)).toEqual(["", "many", "turnpike-clients"]);
  });

  it("writes again what a disk refused, once", () => {
    const storage = sqliteStorage();
    const rows = new EventRows(storage);
    const store = new EventStore(rows, valueHash);
    let room = 0;
    const { exec } = storage.sql;
    storage.sql.exec = (query, ...values) => {
      if (query.startsWith("INSERT") && room-- <= 0) throw new Error("full");
      return exec(query, ...values);
    };
    for (let number = 1; number <= 100; number++) {
      const counts = ["api", "[]", 1];
      store.record({ sender: "a", number, counts }, START_MS + number * 1_000);
      // Room for one or two rows is not enough for all that waits.
      room = number === 1 ? 0 : number % 3;
      if (number < 100) expect(() => store.write(START_MS + number * 1_000)).toThrow("full");
    }
    room = 1_000;
    store.write(START_MS + 100_000);
    const after = new EventStore(new EventRows(storage), valueHash);
    for (const level of LEVELS) {
      const found = series(after, level, START_MS, START_MS + 100_000);
      expect([...found.values()].reduce((a, b) => a + b)).toBe(100);
    }
  });

  it(`takes ${TUPLES} distinct tuples within its memory, with exact totals`, () => {
    const customers = TUPLES;
    const store = new EventStore(new EventRows(sqliteStorage()), valueHash);
    const before = usedBytes();
    let nowMs = START_MS;
    let total = 0;
    for (let batch = 0; batch < customers / 1_000; batch++) {
      const counts: (string | number)[] = [];
      for (let n = 0; n < 1_000; n++) {
        counts.push("api", keyOf({ customer: `customer-${batch * 1_000 + n}`, path: "/a" }), 1);
      }
      // Two tuples of 1.5 % each.
      counts.push("api", keyOf({ customer: "heavy", path: "/a" }), 16);
      counts.push("api", keyOf({ customer: "heavy", path: "/b" }), 16);
      total += 1_032;
      store.record({ sender: "a", number: batch + 1, counts }, nowMs);
      nowMs += 400;
      if (batch % 5 === 0) store.write(nowMs);
    }
    const took = usedBytes() - before;
    expect(took).toBeLessThan(MAX_BYTES);

    const sum = new Bin(0, 12_000_000, valueHash);
    const hours = { level: HOUR, fromMs: START_MS, toMs: nowMs };
    for (const { tally } of store.tallies(["api"], hours, nowMs)) sum.mergeTally("api", tally);
    const tally = sum.tallies.get("api");
    if (!tally) throw new Error("nothing was counted");
    expect(tally.total).toBe(total);
    const heavy = (16 * customers) / 1_000;
    const top = topOf(tally, [], 2);
    for (const { dimensions, count, error } of top.entries) {
      expect(dimensions.customer).toBe("heavy");
      expect(count).toBeGreaterThanOrEqual(heavy);
      expect(count - error).toBeLessThanOrEqual(heavy);
    }
    const { count } = distinctOf(tally, "customer", 0);
    expect(Math.abs(count - customers - 1) / customers).toBeLessThan(3 * DISTINCT_ERROR);
  });
});

function usedBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}
