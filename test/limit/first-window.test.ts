/** Windows that begin with a key's first request, against a model that keeps every event. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { State } from "../../src/limit/algorithm.ts";
import { firstWindow } from "../../src/limit/first-window.ts";
import { fixedWindow } from "../../src/limit/fixed-window.ts";

const START_MS = 1_800_000_000_000;

interface Event {
  atMs: number;
  cost: number;
}

const sequences = fc.record({
  limit: fc.integer({ min: 3, max: 12 }),
  windowMs: fc.integer({ min: 1_000, max: 3_000 }),
  steps: fc.array(
    fc.record({
      afterMs: fc.oneof(fc.nat(5), fc.nat(400), fc.nat(4_000)),
      cost: fc.integer({ min: 1, max: 3 }),
      /** Which of the checks that passed is given back after this step. */
      back: fc.option(fc.nat(10), { freq: 4 }),
      /** Whether the refund says when its units were spent. */
      isDated: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40 },
  ),
});

/** A window is the events since its first. */
class Model {
  #startMs = Number.NEGATIVE_INFINITY;
  #events: Event[] = [];
  readonly #windowMs: number;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  spent(atMs: number): number {
    if (atMs >= this.#startMs + this.#windowMs) return 0;
    return this.#events.reduce((sum, { cost }) => sum + cost, 0);
  }

  endMs(atMs: number): number {
    return (this.spent(atMs) > 0 ? this.#startMs : atMs) + this.#windowMs;
  }

  add(event: Event): void {
    if (this.spent(event.atMs) === 0) {
      this.#startMs = event.atMs;
      this.#events = [];
    }
    this.#events.push(event);
  }

  giveBack(event: Event): void {
    this.#events = this.#events.filter((each) => each !== event);
  }
}

describe("a window that begins with the first request", () => {
  it("decides as a model that keeps every event, and tells exactly what is left and when", () => {
    fc.assert(
      fc.property(sequences, ({ limit, windowMs, steps }) => {
        const quota = { limit, windowMs, capacity: limit };
        const model = new Model(windowMs);
        const passed: Event[] = [];
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost, back, isDated } of steps) {
          atMs += afterMs;
          const spent = model.spent(atMs);
          const leftMs = model.endMs(atMs) - atMs;
          const outcome = firstWindow.decide(state, quota, atMs, cost);
          const allowed = spent + cost <= limit;
          const after = spent + (allowed ? cost : 0);
          expect(outcome).toMatchObject({
            allowed,
            remaining: limit - after,
            resetMs: after === 0 ? 0 : leftMs,
            retryAfterMs: allowed ? 0 : leftMs,
            delayMs: 0,
          });
          if (!allowed) expect(outcome.state).toBe(state);
          state = outcome.state;
          const event = { atMs, cost };
          if (allowed) {
            model.add(event);
            passed.push(event);
          }
          const asked = firstWindow.decide(state, quota, atMs, 0);
          expect(asked).toMatchObject({ allowed: true, remaining: limit - after, state });
          const returned = passed[passed.length - 1 - (back ?? passed.length)];
          if (!returned) continue;
          passed.splice(passed.indexOf(returned), 1);
          // Without the time, what is spent in the present window may be given back.
          if (!isDated && model.endMs(atMs) - windowMs > returned.atMs) continue;
          const spentAtMs = isDated ? returned.atMs : undefined;
          state = firstWindow.refund(state, quota, atMs, returned.cost, spentAtMs);
          model.giveBack(returned);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("never lets more than twice the limit pass within the length of one", () => {
    fc.assert(
      fc.property(sequences, ({ limit, windowMs, steps }) => {
        const passed: Event[] = [];
        let state: State | undefined;
        let atMs = START_MS;
        for (const { afterMs, cost } of steps) {
          atMs += afterMs;
          const quota = { limit, windowMs, capacity: limit };
          const outcome = firstWindow.decide(state, quota, atMs, cost);
          ({ state } = outcome);
          if (outcome.allowed) passed.push({ atMs, cost });
          const recent = passed.filter((event) => event.atMs > atMs - windowMs);
          const sum = recent.reduce((total, event) => total + event.cost, 0);
          expect(sum).toBeLessThanOrEqual(2 * limit);
        }
      }),
    );
  });

  it("goes on where an aligned one has begun, and the other way round", () => {
    const quota = { limit: 10, windowMs: 60_000, capacity: 10 };
    const aligned = fixedWindow.decide(undefined, quota, START_MS + 40_000, 4).state;
    const next = firstWindow.decide(aligned, quota, START_MS + 50_000, 1);
    expect(next).toMatchObject({ remaining: 5, resetMs: 10_000 });
    const first = firstWindow.decide(undefined, quota, START_MS + 40_000, 4).state;
    const other = fixedWindow.decide(first, quota, START_MS + 70_000, 1);
    expect(other).toMatchObject({ remaining: 5, resetMs: 30_000 });
    expect(fixedWindow.decide(first, quota, START_MS + 100_000, 1).resetMs).toBe(20_000);
  });

  it("describes a window that has begun, and that none has", () => {
    const quota = { limit: 10, windowMs: 60_000, capacity: 10 };
    const { state } = firstWindow.decide(undefined, quota, START_MS + 40_000, 4);
    expect(firstWindow.describe(state, quota, START_MS + 41_000)).toBe(
      "4 of 10 spent in the window that ends in 59 s",
    );
    expect(firstWindow.describe(state, quota, START_MS + 100_000)).toBe(
      "0 of 10 spent, and a window of 1 min begins with the next",
    );
  });
});
