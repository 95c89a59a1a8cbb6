/** Holds under each algorithm, against slow models that keep every event. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import { Counters } from "../../src/counters/counters.ts";
import { MAX_HOLDS } from "../../src/counters/hold-rows.ts";
import type { Quota } from "../../src/limit/algorithm.ts";
import type { AlgorithmName } from "../../src/limit/algorithms.ts";
import { type Event, MODELS } from "../limit/models.ts";

const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };

/** What one key has spent, as a model sees it. */
interface Model {
  /** Spends if it fits. @returns the event, or undefined if it does not fit */
  spend(atMs: number, cost: number): Event | undefined;
  /** Makes an event cost less. */
  reduce(event: Event, by: number, atMs: number): void;
  charge(atMs: number, cost: number): void;
  /** Returns true if that many units would fit. */
  fits(atMs: number, cost: number): boolean;
}

/** A window's count is the sum of its events; a hold's event costs what the hold came to. */
function windowed(name: AlgorithmName, quota: Quota): Model {
  const passed: Event[] = [];
  const fits = (atMs: number, cost: number) => MODELS[name](passed, quota, { atMs, cost });
  return {
    fits,
    spend(atMs, cost) {
      if (!fits(atMs, cost)) return undefined;
      passed.push({ atMs, cost });
      return passed.at(-1);
    },
    reduce(event, by) {
      event.cost -= by;
    },
    charge: (atMs, cost) => void passed.push({ atMs, cost }),
  };
}

/** What is poured in first drains first. A hold gives back only what has not drained. */
function poured(_: AlgorithmName, { limit, windowMs, capacity }: Quota): Model {
  const bucket: { event: Event; left: number }[] = [];
  let drainedMs = START_MS;
  const level = () => bucket.reduce((sum, { left }) => sum + left, 0);
  const drain = (atMs: number, by = (atMs - drainedMs) * limit) => {
    drainedMs = atMs;
    let toDrain = by;
    for (const each of bucket) {
      const drained = Math.min(toDrain, each.left);
      each.left -= drained;
      toDrain -= drained;
    }
  };
  const pour = (atMs: number, cost: number) => {
    drain(atMs);
    const event = { atMs, cost };
    bucket.push({ event, left: cost * windowMs });
    return event;
  };
  const fits = (atMs: number, cost: number) =>
    Math.max(0, level() - (atMs - drainedMs) * limit) + cost * windowMs <= capacity * windowMs;
  return {
    fits,
    spend: (atMs, cost) => (fits(atMs, cost) ? pour(atMs, cost) : undefined),
    reduce(event, by, atMs) {
      drain(atMs);
      const own = bucket.find((each) => each.event === event);
      if (own) own.left -= Math.min(own.left, by * windowMs);
    },
    charge: (atMs, cost) => void pour(atMs, cost),
  };
}

const CASES = [
  ["fixed-window", windowed],
  ["sliding-window", windowed],
  ["sliding-log", windowed],
  ["token-bucket", poured],
  ["leaky-bucket", poured],
] as const;

const stories = fc.record({
  limit: fc.integer({ min: 3, max: 12 }),
  burst: fc.integer({ min: 3, max: 30 }),
  /** How long a unit takes to drain: whole milliseconds, so that nothing is rounded. */
  unitMs: fc.integer({ min: 100, max: 400 }),
  steps: fc.array(
    fc.record({
      afterMs: fc.oneof(fc.nat(5), fc.nat(400), fc.nat(4_000)),
      act: fc.constantFrom("check", "reserve", "reserve", "settle", "settle", "peek"),
      cost: fc.integer({ min: 1, max: 3 }),
      actual: fc.nat(12),
      ttlMs: fc.oneof(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 8_000 })),
      which: fc.nat(),
    }),
    { minLength: 1, maxLength: 60 },
  ),
});

describe.each(CASES)("holds under %s", (algorithm, modelOf) => {
  it("count, settle and end as in a model that keeps every event", () => {
    fc.assert(
      fc.property(stories, ({ limit, burst, unitMs, steps }) => {
        const capacity = modelOf === poured ? burst : limit;
        const windowMs = limit * unitMs;
        const base = { name: "p", algorithm, shadow: false, durable: false, held: true } as const;
        const quota = { limit, windowMs, capacity };
        const model = modelOf(algorithm, quota);
        const counters = new Counters();
        type Known = {
          id: number;
          endMs: number;
          event: Event;
          state: "live" | "ended" | "settled";
        };
        const holds: Known[] = [];
        let atMs = START_MS;
        const endUntil = (nowMs: number) => {
          const due = holds.filter(({ state, endMs }) => state === "live" && endMs <= nowMs);
          for (const hold of due.sort((one, other) => one.endMs - other.endMs)) {
            model.reduce(hold.event, hold.event.cost, hold.endMs);
            hold.state = "ended";
          }
        };
        for (const [id, { afterMs, act, cost, actual, ttlMs, which }] of steps.entries()) {
          atMs += afterMs;
          endUntil(atMs);
          const check = { key: KEY, policies: [{ ...base, ...quota, cost }] };
          if (act === "settle") {
            const hold = holds[which % (holds.length || 1)];
            if (!hold) continue;
            const settlement = { id: hold.id, actual, isMade: false };
            const { was } = counters.settle(check, settlement, atMs);
            expect(was).toBe(hold.state);
            const { event } = hold;
            const spent = hold.state === "live" ? event.cost : 0;
            if (hold.state === "settled") continue;
            hold.state = "settled";
            if (actual > spent) model.charge(atMs, actual - spent);
            else model.reduce(event, spent - actual, atMs);
          } else if (act === "peek") {
            const [verdict] = counters.peek(check, atMs);
            expect(verdict?.allowed).toBe(model.fits(atMs, cost));
          } else {
            const reserve = { id, ttlMs };
            const asked = act === "reserve" ? { ...check, reserve } : check;
            const [verdict] = counters.check(asked, atMs);
            const event = model.spend(atMs, cost);
            expect(verdict?.allowed).toBe(event !== undefined);
            if (event && act === "reserve") {
              holds.push({ id, endMs: atMs + ttlMs, event, state: "live" });
            }
          }
          const [left] = counters.peek(check, atMs);
          const { remaining = 0 } = left ?? {};
          expect(remaining === 0 || model.fits(atMs, remaining)).toBe(true);
          expect(remaining === capacity || !model.fits(atMs, remaining + 1)).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe("a hold", () => {
  const policy: CounterPolicy = {
    name: "day",
    algorithm: "fixed-window",
    limit: 10,
    windowMs: 86_400_000,
    capacity: 10,
    cost: 1,
    shadow: false,
    durable: false,
    held: true,
  };
  const minute = { ...policy, name: "minute", windowMs: 60_000 };

  /** Counters with a clock of their own, and one key unless another is named. */
  function clerk(policies = [policy]) {
    const counters = new Counters();
    const asked = (cost: number, key = KEY) => ({
      key,
      policies: policies.map((each) => ({ ...each, cost })),
    });
    return {
      counters,
      reserve: (id: number, cost: number, atMs = START_MS, ttlMs = 60_000) =>
        counters.check({ ...asked(cost), reserve: { id, ttlMs } }, atMs),
      settle: (id: number, actual: number, atMs = START_MS, key = KEY) =>
        counters.settle(asked(1, key), { id, actual, isMade: false }, atMs).was,
      left: (atMs = START_MS) => counters.peek(asked(1), atMs).map(({ remaining }) => remaining),
      explain: (atMs = START_MS) => counters.explain(asked(1), atMs)[0],
    };
  }

  it("is spent before its answer leaves: of five at once that read 0 spent, two of 4 pass", () => {
    const { reserve, left } = clerk();
    const all = [1, 2, 3, 4, 5].map((id) => reserve(id, 4)[0]?.allowed);
    expect(all).toEqual([true, true, false, false, false]);
    expect(left()).toEqual([2]);
  });

  it("is made under all policies or under none", () => {
    const { reserve, settle, left } = clerk([policy, { ...minute, limit: 5, capacity: 5 }]);
    expect(reserve(1, 4).map(({ allowed }) => allowed)).toEqual([true, true]);
    expect(reserve(2, 4).map(({ allowed }) => allowed)).toEqual([true, false]);
    expect(settle(2, 1)).toBe("unknown");
    expect(left()).toEqual([6, 1]);
    expect(settle(1, 6)).toBe("live");
    expect(left()).toEqual([4, 0]);
  });

  it("is of one key and its policies", () => {
    const { reserve, settle, left, counters } = clerk();
    reserve(1, 4);
    expect(settle(1, 0, START_MS, { hi: 3, lo: 4 })).toBe("unknown");
    const released = { id: 1, actual: 0, isMade: false };
    const { was } = counters.settle({ key: KEY, policies: [minute] }, released, START_MS);
    expect(was).toBe("unknown");
    expect(left()).toEqual([6]);
  });

  it("is settled once, also after its end", () => {
    const { reserve, settle, left } = clerk();
    reserve(1, 4);
    reserve(2, 4);
    expect(settle(1, 3)).toBe("live");
    expect(settle(1, 9)).toBe("settled");
    expect(left()).toEqual([3]);
    expect(left(START_MS + 60_000)).toEqual([7]);
    expect(settle(2, 5, START_MS + 60_000)).toBe("ended");
    expect(settle(2, 5, START_MS + 119_999)).toBe("settled");
    expect(left(START_MS + 60_000)).toEqual([2]);
  });

  it("gives nothing to a later window, and owes nothing there", () => {
    const { reserve, settle, left } = clerk([minute]);
    const beforeMs = START_MS + 59_000;
    reserve(1, 10, beforeMs);
    reserve(2, 3, START_MS + 61_000);
    expect(settle(1, 2, START_MS + 61_000)).toBe("live");
    expect(left(START_MS + 61_000)).toEqual([7]);
    expect(settle(2, 20, START_MS + 62_000)).toBe("live");
    expect(left(START_MS + 62_000)).toEqual([0]);
    expect(left(START_MS + 120_000)).toEqual([10]);
  });

  it("ends although nobody asks for days, and gives nothing back to what came after", () => {
    const { reserve, left, counters } = clerk();
    reserve(1, 4, START_MS, 3_600_000);
    counters.tables.sweep(START_MS + 8 * 3_600_000);
    expect(left(START_MS + 8 * 3_600_000)).toEqual([10]);
    expect(left(START_MS + 86_400_000)).toEqual([10]);
    counters.tables.sweep(START_MS + 2 * 86_400_000);
    expect(counters.tables.size).toBe(0);
  });

  it("of a policy in shadow that is over its limit costs nothing, then or later", () => {
    const { reserve, settle, left } = clerk([{ ...policy, shadow: true }]);
    reserve(1, 8);
    expect(reserve(2, 8)[0]).toMatchObject({ allowed: true, reason: "shadow" });
    expect(settle(2, 9)).toBe("live");
    expect(settle(2, 9)).toBe("settled");
    expect(left()).toEqual([2]);
  });

  it("is charged, if the owner does not know it and its caller made it", () => {
    const { counters, left } = clerk();
    const settle = { id: 7, actual: 4, isMade: true };
    const check = { key: KEY, policies: [policy] };
    expect(counters.settle(check, settle, START_MS).was).toBe("ended");
    expect(counters.settle(check, settle, START_MS).was).toBe("settled");
    expect(left()).toEqual([6]);
  });

  it("is given back at once if its check arrives after its settlement", () => {
    const { counters, reserve, settle, left } = clerk();
    counters.settle({ key: KEY, policies: [policy] }, { id: 1, actual: 3, isMade: true }, START_MS);
    reserve(1, 4);
    expect(left()).toEqual([7]);
    expect(settle(1, 3)).toBe("settled");
    expect(left(START_MS + 60_000)).toEqual([7]);
  });

  it("is forgotten by a reset", () => {
    const { reserve, settle, left, counters } = clerk();
    reserve(1, 4);
    counters.reset({ key: KEY, policies: [policy] });
    expect(settle(1, 4)).toBe("unknown");
    expect(left()).toEqual([10]);
  });

  it("is denied beyond 1,000 holds, until the first of them ends", () => {
    const many = { ...policy, limit: 5_000, capacity: 5_000 };
    const { reserve, settle, explain, counters } = clerk([many]);
    for (let id = 0; id < MAX_HOLDS; id++) reserve(id, 1, START_MS + id);
    const atMs = START_MS + MAX_HOLDS;
    const wait = { allowed: false, reason: "limited", remaining: 0, retryAfterMs: 59_000 };
    expect(reserve(9_999, 1, atMs)[0]).toMatchObject(wait);
    expect(explain(atMs)?.holds).toEqual({ count: 1_000, units: 1_000 });
    expect(explain(atMs)?.state).toContain(
      "1000 of that held by 1000 holds, the next ends in 59 s",
    );
    expect(reserve(9_999, 1, atMs + 59_000)[0]).toMatchObject({ allowed: true });
    const of500 = { id: 500, actual: 1, isMade: false };
    const { frees } = counters.settle({ key: KEY, policies: [many] }, of500, atMs + 59_000);
    expect(frees).toBe(true);
    expect(settle(501, 1, atMs + 59_000)).toBe("live");
    for (let id = 502; id < MAX_HOLDS; id++) settle(id, 1, atMs + 59_000);
    // The row has at most this many live, ended and settled holds.
    expect(counters.tables.get("holds/fixed-window/86400000/day", KEY)?.length).toBeLessThan(
      5 * 1_101 + 3,
    );
  });

  it("that ended begins an epoch once", () => {
    const { reserve, settle, counters } = clerk();
    const { holds } = counters;
    reserve(1, 1);
    reserve(2, 1);
    settle(2, 1);
    expect(holds.hasEnded(START_MS + 59_999)).toBe(false);
    expect(holds.hasEnded(START_MS + 61_000)).toBe(true);
    expect(holds.hasEnded(START_MS + 62_000)).toBe(false);
  });
});
