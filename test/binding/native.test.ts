/**
 * `limit` of Cloudflare's rate limiting binding, as Miniflare has it, and ours: one table of calls,
 * and the same answers. Where they differ, the table says why.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bound, CALLING, type Cluster, deployed, start, worker } from "./cluster.ts";

const LIMIT = 5;
const MINUTE_MS = 60_000;
/** Stands for a key that no other case has. */
const KEY = "KEY";
const MAX_DELTA = 2 ** 32 - 1;

type Outcome = true | false | "throws";

/** What is called in turn, and what each call comes to. */
type Case = [title: string, calls: unknown[], outcomes: Outcome[]];

const one = { key: KEY };
const of = (delta: unknown) => ({ key: KEY, delta });
const times = <Item>(count: number, item: Item) => new Array<Item>(count).fill(item);

const SAME: Case[] = [
  ["the limit and no more", times(7, one), [true, true, true, true, true, false, false]],
  ["a delta of its own", [of(2), of(2), of(1), one], [true, true, true, false]],
  ["room for less than delta", [of(3), of(3), of(1)], [true, true, false]],
  ["a delta above the limit", [of(100), of(1)], [true, false]],
  ["a refused call takes nothing", [of(4), of(9), of(9), one], [true, true, false, false]],
  ["the largest delta", [of(MAX_DELTA), one], [true, false]],
  ["a delta of undefined", [...times(5, of(undefined)), one], [...times(5, true), false]],
  ["a delta as text", [of("4"), of("1"), one], [true, true, false]],
  ["a delta of true", [...times(5, of(true)), one], [...times(5, true), false]],
  ["a delta of 0", [of(0)], ["throws"]],
  ["a negative delta", [of(-1)], ["throws"]],
  ["a delta below 1", [of(0.5)], ["throws"]],
  ["a delta that is too large", [of(MAX_DELTA + 1)], ["throws"]],
  ["a delta of null", [of(null)], ["throws"]],
  ["a delta that is no number", [of("many"), of(""), of({})], times(3, "throws")],
  ["NaN and Infinity", [of(Number.NaN), of(Number.POSITIVE_INFINITY)], ["throws", "throws"]],
  ["a mistake takes nothing", [of(0), ...times(6, one)], ["throws", ...times(5, true), false]],
  ["an unknown option", [{ key: KEY, cost: 1 }], ["throws"]],
  ["no options", [undefined, null, "user-1"], times(3, "throws")],
  ["a key that is not text", [{ key: 5 }, { key: null }, { key: ["a"] }], times(3, "throws")],
  ["a key of 2,000 bytes", times(6, { key: KEY.repeat(60) }), [...times(5, true), false]],
  ["a key with a zero byte", times(6, { key: `${KEY}\0a` }), [...times(5, true), false]],
];

/** What differs, and why. */
const DIFFERENT: [...Case, native: Outcome[]][] = [
  // A half unit is lost there: 1.5 counts as 1. Ours does not count what was not meant.
  [
    "a fraction above 1",
    [of(1.5), ...times(5, one)],
    ["throws", ...times(5, true)],
    [...times(5, true), false],
  ],
  // Everybody without a key shares one count there. Ours names the mistake.
  ["no key at all", [{}], ["throws"], [true]],
  // The caller chooses the limit there. Ours is the policy's.
  ["a limit in the call", [{ key: KEY, limit: 1 }], ["throws"], [true]],
  ["a period in the call", [{ key: KEY, period: 10 }], ["throws"], [true]],
];

let cluster: Cluster;
beforeAll(async () => {
  cluster = await start(
    await deployed([{ name: "mine", limit: LIMIT, window: "60s" }]),
    worker("caller", CALLING, {
      serviceBindings: { OURS: bound("mine") },
      ratelimits: { NATIVE: { namespace_id: "1", simple: { limit: LIMIT, period: 60 } } },
    }),
  );
});
afterAll(() => cluster.stop());

describe("limit(), ours and Cloudflare's", () => {
  it.each(SAME)("answer the same: %s", async (_, calls, outcomes) => {
    expect(await outcomesOf("NATIVE", calls)).toEqual(outcomes);
    expect(await outcomesOf("OURS", calls)).toEqual(outcomes);
  });

  it.each(DIFFERENT)("differ: %s", async (_, calls, ours, native) => {
    expect(await outcomesOf("NATIVE", calls)).toEqual(native);
    expect(await outcomesOf("OURS", calls)).toEqual(ours);
  });

  it("answer the same to an empty key", async () => {
    for (const binding of ["NATIVE", "OURS"]) {
      const shared = [{ key: "" }, { key: undefined }, { key: "" }, { key: "" }, { key: "" }];
      // "No key at all" above has taken one where that is allowed.
      const outcomes = await outcomesOf(binding, [...shared, { key: "" }]);
      expect(outcomes.filter((outcome) => outcome === true).length).toBeGreaterThanOrEqual(4);
      expect(outcomes.at(-1)).toBe(false);
    }
  });

  it.each(["NATIVE", "OURS"])("let the limit pass under 50 parallel calls: %s", async (binding) => {
    const outcomes = await inOneMinute((key) => {
      const calls = times(50, { key });
      return Promise.all(calls.map((options) => outcome(binding, options)));
    });
    expect(outcomes.filter((each) => each === true)).toHaveLength(LIMIT);
  });
});

/** Calls one after another, all in one window. */
function outcomesOf(binding: string, calls: readonly unknown[]): Promise<Outcome[]> {
  return inOneMinute(async (key) => {
    const outcomes: Outcome[] = [];
    for (const options of calls) outcomes.push(await outcome(binding, named(options, key)));
    return outcomes;
  });
}

/** Runs again what began in one window and ended in another. */
async function inOneMinute<Result>(run: (key: string) => Promise<Result>): Promise<Result> {
  for (;;) {
    const minute = Math.floor(Date.now() / MINUTE_MS);
    const result = await run(crypto.randomUUID());
    if (Math.floor(Date.now() / MINUTE_MS) === minute) return result;
  }
}

async function outcome(binding: string, options: unknown): Promise<Outcome> {
  const args = options === undefined ? [] : [options];
  const { answer, error } = await cluster.call("caller", binding, "limit", ...args);
  return error === undefined ? (answer?.success as boolean) : "throws";
}

function named(options: unknown, key: string): unknown {
  if (typeof options !== "object" || !options || !("key" in options)) return options;
  const { key: name } = options;
  return { ...options, key: typeof name === "string" ? name.replaceAll(KEY, key) : name };
}
