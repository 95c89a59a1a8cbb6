import fc from "fast-check";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import type { Question } from "../../src/caller/question.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";
import { STILL } from "../fake-runtime.ts";
import { useStoppedClock } from "../stopped-clock.ts";
import { FakeOwners } from "./fake-owners.ts";

const now = useStoppedClock();
let owners: FakeOwners;

function isolate(): Caller {
  return new Caller({
    owners,
    ownersPerRegion: 1,
    homeRegion: "sam",
    hashSecret: "secret",
    runtime: STILL,
  });
}

function ask(change: Partial<PolicyInput> = {}, key = "hot"): Question {
  const policy = parsePolicy({ limit: 100, window: "1m", lease: 0.1, ...change });
  return { key: [key], policies: [policy], region: "weur" };
}

async function decide(caller: Caller, question = ask()) {
  const [reply] = await caller.check([question]);
  return reply?.decisions[0];
}

/** Spends until denied, by several isolates in turn, and returns how many passed. */
async function drain(callers: Caller[], question = ask()): Promise<number> {
  let passed = 0;
  for (let n = 0; n < 400; n++) {
    const caller = callers[n % callers.length] as Caller;
    if ((await decide(caller, question))?.allowed) passed++;
  }
  return passed;
}

beforeEach(() => {
  owners = new FakeOwners();
});

describe("a lease", () => {
  it("pays for the requests of a hot key without a call, and says it is not exact", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const calls = owners.calls.length;
    expect(await decide(caller)).toMatchObject({
      allowed: true,
      remaining: 95,
      source: "lease",
      exact: false,
    });
    for (let n = 0; n < 9; n++) expect(await decide(caller)).toMatchObject({ source: "lease" });
    expect(owners.calls.length).toBe(calls);
    expect(await decide(caller)).toMatchObject({ source: "owner" });
  });

  it("is not given to keys that are not hot, nor if the policy does not ask for it", async () => {
    const caller = isolate();
    for (let n = 0; n < 50; n++) {
      expect(await decide(caller, ask({}, `key ${n}`))).toMatchObject({ source: "owner" });
      expect(await decide(caller, ask({ lease: 0, name: "none" }))).toMatchObject({ exact: true });
    }
  });

  it("lets exactly the limit pass in one isolate", async () => {
    expect(await drain([isolate()])).toBe(100);
    expect(owners.calls.length).toBeLessThan(40);
  });

  it("never lets more than the limit pass, whatever the isolates hold", async () => {
    const passed = await drain([isolate(), isolate(), isolate(), isolate()]);
    expect(passed).toBe(100);
    const [, unused] = [await drain([isolate()]), await drain([isolate()])];
    expect(unused).toBe(0);
  });

  it("ends with its window, and the next begins whole", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    vi.advanceTimersByTime(59_960);
    expect(await decide(caller)).toMatchObject({ source: "owner" });
    vi.advanceTimersByTime(40);
    expect(await decide(caller)).toMatchObject({ source: "owner", remaining: 99 });
    expect(await drain([caller])).toBe(99);
  });

  it("is never overspent in parallel", async () => {
    const caller = isolate();
    const replies = await Promise.all(Array.from({ length: 300 }, () => caller.check([ask()])));
    const more = await drain([caller]);
    const passed = replies.flat().filter(({ decisions }) => decisions[0]?.allowed).length;
    expect(passed + more).toBe(100);
  });

  it("ends with a reset, or another limit", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    expect(await decide(caller, ask({ limit: 50 }))).toMatchObject({ source: "owner" });
    await caller.reset([ask()]);
    expect(await decide(caller)).toMatchObject({ source: "owner", remaining: 99 });
  });

  it("gets its units back if another policy denies", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const none = ask({ name: "none", limit: 1, lease: 0, scope: "global" }, "other");
    await caller.checkAllOrNone([[ask(), none]]);
    const before = (await decide(caller))?.remaining as number;
    // By now the other denial must be asked about again, and the lease is still trusted.
    vi.advanceTimersByTime(4_000);
    await decide(caller, ask({}, "another"));
    vi.advanceTimersByTime(2_000);
    await caller.checkAllOrNone([[ask(), none]]);
    expect((await decide(caller))?.remaining).toBe(before - 1);
  });

  it("pays only if its policy is the only one, so that no other goes uncounted", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const leased = ask();
    const other = parsePolicy({ name: "other", limit: 2, window: "1m" });
    const both = { ...leased, policies: [...leased.policies, other] };
    const passed: boolean[] = [];
    for (let n = 0; n < 4; n++) {
      const [reply] = await caller.check([both]);
      expect(reply?.decisions).toHaveLength(2);
      passed.push(reply?.decisions.every(({ allowed }) => allowed) ?? false);
    }
    expect(passed).toEqual([true, true, false, false]);
  });

  it("ends with a block", async () => {
    const caller = isolate();
    for (let n = 0; n < 6; n++) await decide(caller);
    await caller.block(["hot"], 60_000);
    expect(await decide(caller)).toMatchObject({ allowed: false, reason: "blocked" });
  });

  it("is confirmed by one call in 5 s, in which it takes no more units", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    const calls = owners.calls.length;
    for (let n = 0; n < 4; n++) {
      vi.advanceTimersByTime(5_000);
      const sources = [(await decide(caller))?.source, (await decide(caller))?.source];
      expect(sources).toEqual(["owner", "lease"]);
    }
    expect(owners.calls.length).toBe(calls + 4);
    expect(await drain([isolate()])).toBe(100 - 4 - 8 - 6);
  });

  it("is confirmed by any call to its owner", async () => {
    const caller = isolate();
    for (let n = 0; n < 4; n++) await decide(caller);
    for (let n = 0; n < 6; n++) {
      vi.advanceTimersByTime(4_500);
      await decide(caller, ask({ lease: 0, name: "another" }, "another"));
      expect(await decide(caller)).toMatchObject({ source: "lease" });
    }
  });

  it("pays for a request that its owner denies when it confirms the lease", async () => {
    const [here, elsewhere] = [isolate(), isolate()];
    for (let n = 0; n < 4; n++) await decide(here);
    expect(await drain([elsewhere])).toBe(86);
    vi.advanceTimersByTime(6_000);
    expect(await drain([here])).toBe(10);
  });
});

describe("a block made elsewhere", () => {
  it("ends a lease within 5 s, also while others keep the owner busy", async () => {
    for (const isBusy of [false, true]) {
      owners = new FakeOwners();
      const [here, elsewhere] = [isolate(), isolate()];
      for (let n = 0; n < 6; n++) await decide(here);
      await elsewhere.block(["hot"], 3_600_000);
      let passed = 0;
      for (let ms = 0; ms < 20_000; ms += 500) {
        const decision = await decide(here);
        if (decision?.allowed) passed++;
        if (ms >= 5_000) expect(decision).toMatchObject({ allowed: false, reason: "blocked" });
        if (isBusy) await decide(here, ask({ lease: 0 }, `another ${ms}`));
        vi.advanceTimersByTime(500);
      }
      expect(passed).toBeLessThan(10);
      await elsewhere.unblock(["hot"]);
      vi.advanceTimersByTime(5_000);
      expect(await decide(here)).toMatchObject({ allowed: true, source: "owner" });
    }
  });
});

describe("a reset made elsewhere", () => {
  it("ends a lease within 5 s, and that of no other key", async () => {
    const [here, elsewhere] = [isolate(), isolate()];
    const other = ask({}, "other");
    for (let n = 0; n < 6; n++) for (const each of [ask(), other]) await decide(here, each);
    await elsewhere.reset([ask()]);
    // Units leased in the same millisecond as a reset are lost.
    vi.advanceTimersByTime(1);
    // As much as before, so that the owner's remaining units do not show the reset.
    for (let n = 0; n < 20; n++) await decide(elsewhere);
    vi.advanceTimersByTime(5_000);
    expect(await drain([here, elsewhere])).toBe(80);
    expect(await drain([here, elsewhere], other)).toBe(94);
  });

  it("lets exactly the limit pass from 5 s on, whatever happened before", async () => {
    const act = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ by: fc.nat(2), checks: fc.integer({ min: 1, max: 8 }) }),
      },
      fc.record({ waitMs: fc.constantFrom(10, 1_000, 4_800, 5_000) }),
      fc.record({ resetBy: fc.nat(2) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40 }), fc.nat(2), async (acts, resetBy) => {
        owners = new FakeOwners();
        vi.setSystemTime(now());
        const isolates = [isolate(), isolate(), isolate()];
        const question = ask({ window: "1d" });
        const run = async (each: (typeof acts)[number]) => {
          if ("waitMs" in each) vi.advanceTimersByTime(each.waitMs);
          else if ("resetBy" in each) {
            await isolates[each.resetBy]?.reset([question]);
            vi.advanceTimersByTime(1);
          } else {
            const caller = isolates[each.by] as Caller;
            // Checks are sent at once, so that slices are under way when others ask.
            await Promise.all(Array.from({ length: each.checks }, () => decide(caller, question)));
          }
        };
        for (const each of acts) await run(each);
        await run({ resetBy });
        vi.advanceTimersByTime(5_000);
        expect(await drain(isolates, question)).toBe(100);
      }),
      { numRuns: 25 },
    );
  }, 180_000);
});

describe("an override made elsewhere", () => {
  it("ends the leases of a higher limit and the denials of a lower one within 5 s", async () => {
    const question = ask({ window: "1d" });
    const [here, elsewhere] = [isolate(), isolate()];
    for (let n = 0; n < 6; n++) await decide(here, question);
    await elsewhere.override(question, 5, 86_400_000);
    vi.advanceTimersByTime(5_000);
    const denied = { allowed: false, reason: "limited", limit: 5 };
    expect(await decide(here, question)).toMatchObject({ ...denied, source: "owner" });
    expect(await decide(here, question)).toMatchObject({ ...denied, source: "denial-cache" });
    await elsewhere.override(question, 200, 86_400_000);
    vi.advanceTimersByTime(5_000);
    for (let n = 0; n < 5; n++) await decide(here, question);
    expect(await decide(here, question)).toMatchObject({ source: "lease", limit: 200 });
    await elsewhere.override(question, Number.POSITIVE_INFINITY, 86_400_000);
    vi.advanceTimersByTime(5_000);
    expect(await drain([here, elsewhere], question)).toBe(400);
    await elsewhere.override(question, null);
    vi.advanceTimersByTime(5_000);
    expect((await decide(here, question))?.limit).toBe(100);
  });
});

describe("a check", () => {
  /** Verdicts that an owner may give, and that none should: the reason's code, and four numbers. */
  const said = fc.tuple(
    fc.integer({ min: -1, max: 4 }),
    fc.constantFrom(0, 1, 5, 50, 89, 90, 100, 101),
    fc.constantFrom(0, 1, 100, 60_000),
    fc.constantFrom(0, 1, 60_000),
    fc.constantFrom(0, 0, 0, 10),
  );
  const moment = fc.record({
    waitMs: fc.constantFrom(0, 0, 100, 5_000, 61_000),
    epoch: fc.integer({ min: 1, max: 2 }),
    said: fc.array(fc.oneof(said, fc.constant("throws" as const)), { minLength: 1, maxLength: 3 }),
    times: fc.integer({ min: 1, max: 6 }),
    cost: fc.constantFrom(1, 1, 5, 95),
  });

  it("makes two calls at most, for all answers of its owner in any order", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    await fc.assert(
      fc.asyncProperty(fc.array(moment, { minLength: 1, maxLength: 30 }), async (moments) => {
        const caller = isolate();
        for (const { waitMs, epoch, said, times, cost } of moments) {
          vi.advanceTimersByTime(waitMs);
          for (let n = 0; n < times; n++) {
            let at = 0;
            owners.calls.length = 0;
            owners.misbehave = () => {
              if (++at > 10) throw new Error("endless");
              const verdict = said[(at - 1) % said.length];
              if (verdict === "throws") throw new Error("broken");
              return Float64Array.of(Date.now(), epoch, ...(verdict as number[]));
            };
            await decide(caller, ask({ cost }));
            expect(owners.calls.length).toBeLessThanOrEqual(2);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
