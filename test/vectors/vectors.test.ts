/**
 * The vectors, which say for each algorithm what must come out: written from the rules by hand, in
 * JSON so that other implementations can use them. Run here against the counters alone and against
 * the object over RPC, its clock set.
 */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { counterPolicy } from "../../src/caller/message.ts";
import { Counters } from "../../src/counters/counters.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { VECTORS, type VectorStep } from "../../src/testing/vectors.ts";
import { askObject } from "../owner/ask-object.ts";

/** A full minute, at which the windows of all vectors begin. */
const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };

const scenarios = VECTORS.flatMap(({ algorithm, scenarios: all }) =>
  all.map((scenario) => ({
    name: `${algorithm}: ${scenario.title}`,
    policy: parsePolicy({ name: "vector", algorithm, ...scenario.policy }),
    steps: scenario.steps,
  })),
);

/** What a step says must come out, and what came out. */
function compare(step: VectorStep, verdict: object | undefined): void {
  const [, , , allowed, remaining, retryAfterMs, delayMs] = step;
  expect(verdict, JSON.stringify(step)).toMatchObject({
    allowed,
    remaining,
    retryAfterMs,
    delayMs,
  });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the vectors", () => {
  it("are at least 150 steps", () => {
    const steps = scenarios.reduce((sum, scenario) => sum + scenario.steps.length, 0);
    expect(steps).toBeGreaterThanOrEqual(150);
  });

  it.each(scenarios)("hold for the counters — $name", ({ policy, steps }) => {
    const counters = new Counters();
    for (const step of steps) {
      const [atMs, verb, cost = 1] = step;
      const nowMs = START_MS + atMs;
      const check = { key: KEY, policies: [counterPolicy({ ...policy, cost })] };
      if (verb === "block") counters.block(KEY, nowMs + cost);
      else if (verb === "unblock") counters.unblock(KEY);
      else if (verb === "reset") counters.reset(check);
      else if (verb === "refund") {
        counters.refund(check, nowMs);
        compare(step, counters.peek(check, nowMs)[0]);
      } else compare(step, counters[verb](check, nowMs)[0]);
    }
  });

  it.each(scenarios)("hold for the object — $name", async ({ policy, steps }) => {
    const owner = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
    for (const step of steps) {
      const [atMs, verb, cost = 1] = step;
      vi.setSystemTime(START_MS + atMs);
      const check = { key: KEY, policies: [counterPolicy({ ...policy, cost })] };
      if (verb === "block") await owner.block(0, KEY, cost);
      else if (verb === "unblock") await owner.unblock(0, KEY);
      else if (verb === "reset") await askObject(owner, "reset", [check]);
      else compare(step, (await askObject(owner, verb, [check])).verdicts[0]?.[0]);
    }
  });
});
