/** The vectors, run by any limiter: ours, one without a clock, and another library's store. */
import Table from "cli-table3";
import { MemoryStore } from "hono-rate-limiter";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Limiter } from "../../src/index.ts";
import { parseDuration } from "../../src/limit/duration.ts";
import { limiter } from "../../src/outside.ts";
import {
  installTestKit,
  runVectors,
  type VectorCheck,
  type VectorLimiter,
} from "../../src/testing/index.ts";

/** Turnpike's own, one for each policy of the vectors. */
const limiters = new Map<string, Limiter>();

class Ours implements VectorLimiter {
  readonly #kit = installTestKit();

  check = async (check: VectorCheck) => {
    const decision = await this.#for(check).check(check.key, { cost: check.cost });
    // A denial that is remembered says what was left when the owner gave it.
    return decision.source === "owner" ? decision : { ...decision, remaining: undefined };
  };
  peek = (check: VectorCheck) => this.#for(check).peek(check.key, { cost: check.cost });
  refund = (check: VectorCheck) => this.#for(check).refund(check.key, { cost: check.cost });
  reset = (check: VectorCheck) => this.#for(check).reset(check.key);
  block = (check: VectorCheck) => this.#for(check).block(check.key, `${check.cost}ms`);
  unblock = (check: VectorCheck) => this.#for(check).unblock(check.key);
  setClock = (atMs: number) => this.#kit.clock.set(atMs);

  #for({ key: _, cost: __, atMs: ___, ...policy }: VectorCheck): Limiter {
    const name = JSON.stringify(policy);
    const known = limiters.get(name);
    const made = known ?? limiter({ ...policy, name: `vector-${limiters.size}` } as never);
    limiters.set(name, made);
    return made;
  }
}

/** The store as its middleware uses it: a hit for each unit, denied or not, from the first on. */
class HonoRateLimiter implements VectorLimiter {
  readonly #stores = new Map<string, MemoryStore>();

  check({ key, limit, window, cost }: VectorCheck) {
    const store = this.#stores.get(window) ?? new MemoryStore();
    if (!this.#stores.has(window)) {
      store.init({ windowMs: parseDuration(window) ?? 0 } as Parameters<MemoryStore["init"]>[0]);
      this.#stores.set(window, store);
    }
    let { totalHits, resetTime } = store.increment(key);
    for (let unit = 1; unit < cost; unit++) ({ totalHits, resetTime } = store.increment(key));
    const allowed = totalHits <= limit;
    const waitMs = (resetTime?.getTime() ?? 0) - Date.now();
    const remaining = Math.max(0, limit - totalHits);
    return { allowed, remaining, retryAfterMs: allowed ? 0 : waitMs };
  }

  setClock(atMs: number) {
    if (vi.isFakeTimers()) vi.advanceTimersByTime(atMs - Date.now());
    else vi.useFakeTimers({ now: atMs });
  }
}

/** The scenarios in which that store differs, and why. */
const DIFFERS_ON_PURPOSE = {
  "twenty pass around the seam": "its windows begin with a key's first hit, never on the minute",
  "a cost that does not fit spends nothing": "what it denies is counted",
  "a window that begins with the first request ends a window later": "what it denies is counted",
  "neither a peek nor a denial begins a window": "what it denies is counted",
  "a key that was denied stays blocked, and nothing prolongs that": "it has no blockFor",
  "the blocks of a key that comes back within two of their lengths double to the longest":
    "it has no blockFor",
  "a refund does not end a block, a reset and an unblock do, and the next is a first one":
    "it has no blockFor",
};

afterEach(() => {
  vi.useRealTimers();
});

describe("the vectors", () => {
  it("show no difference in Turnpike", async () => {
    const report = await runVectors(new Ours());
    expect(report).toEqual({ run: expect.any(Number), left: 0, differences: [] });
    expect(report.run).toBeGreaterThan(300);
  });

  it("run only as far as a limiter can", async () => {
    const { check, setClock } = new Ours();
    const onlyChecks = await runVectors({ check, setClock });
    expect(onlyChecks.differences).toEqual([]);
    expect(onlyChecks.run).toBeGreaterThan(150);
    const noClock = await runVectors(new Ours().check);
    expect(noClock.differences).toEqual([]);
    expect(noClock.run).toBeGreaterThan(40);
    expect(noClock.run + noClock.left).toBe(onlyChecks.run + onlyChecks.left);
  });

  it("find a limiter that is wrong", async () => {
    const { differences } = await runVectors(() => ({ allowed: true }), {
      algorithms: ["token-bucket"],
      usesAtMs: true,
    });
    expect(differences[0]).toMatchObject({
      algorithm: "token-bucket",
      scenario: "tokens come back at an even pace",
      step: 1,
      verb: "check",
      asked: { limit: 10, window: "10s", cost: 1 },
      field: "allowed",
      expected: false,
      got: true,
    });
  });

  it("try a scenario again where time passes, and report one that always differs", async () => {
    const { check: ours } = new Ours();
    let wrong = 0;
    const twice = await runVectors(
      async (check) => ({ ...(await ours(check)), ...(wrong++ < 1 && { allowed: false }) }),
      { algorithms: ["fixed-window"] },
    );
    expect([wrong > 1, twice.differences]).toEqual([true, []]);
    const always = await runVectors(() => ({ allowed: false }), { algorithms: ["fixed-window"] });
    expect(always.differences.length).toBeGreaterThan(0);
    expect(always.run).toBe(twice.run);
  });

  it("say which algorithms there are", async () => {
    await expect(runVectors(() => ({ allowed: true }), { algorithms: ["gcra"] })).rejects.toThrow(
      /^algorithms must be of fixed-window, .*concurrency, got "gcra"$/,
    );
  });

  it("show where hono-rate-limiter's memory store differs", async () => {
    const { differences } = await runVectors(new HonoRateLimiter(), {
      algorithms: ["fixed-window"],
    });
    const table = new Table({
      head: ["scenario", "step", "cost", "field", "expected", "got", "why"],
    });
    for (const { scenario, step, asked, field, expected, got } of differences) {
      const why = DIFFERS_ON_PURPOSE[scenario as keyof typeof DIFFERS_ON_PURPOSE];
      table.push([scenario, step, asked.cost, field, expected, String(got), why]);
    }
    console.log(table.toString());
    expect(new Set(differences.map(({ scenario }) => scenario))).toEqual(
      new Set(Object.keys(DIFFERS_ON_PURPOSE)),
    );
  });
});
