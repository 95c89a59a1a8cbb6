/**
 * Vectors for reservations: the rules of RFC 0021 of Kuadrant's architecture, for Limitador, and
 * the race that it closes. Run against the counters alone and against the object over RPC.
 */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { counterPolicy } from "../../src/caller/message.ts";
import { Counters } from "../../src/counters/counters.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { askObject } from "../owner/ask-object.ts";
import vectors from "./reservations.json";

/** A full minute, at which the windows of all vectors begin. */
const START_MS = 1_800_000_000_000;
const KEY = { hi: 1, lo: 2 };

const scenarios = vectors.scenarios.map(({ title, policy, steps }) => ({
  title,
  policy: { ...parsePolicy({ name: "vector", ...policy }), held: true as const },
  steps: steps.map((step) => {
    const [atMs, verb, id, units, ttlMs, allowed, remaining, retryAfterMs, was] = step as [
      ...[number, "check" | "peek" | "reserve" | "settle", number, number, number],
      ...[boolean, number, number, string?],
    ];
    return {
      nowMs: START_MS + atMs,
      verb,
      id,
      units,
      ttlMs,
      allowed,
      remaining,
      retryAfterMs,
      was,
    };
  }),
}));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe.each(scenarios)("a reservation: $title", ({ policy, steps }) => {
  const costing = (cost: number) => ({ key: KEY, policies: [counterPolicy({ ...policy, cost })] });

  it("as the counters have it", () => {
    const counters = new Counters();
    for (const { nowMs, verb, id, units, ttlMs, was, ...expected } of steps) {
      if (verb === "settle") {
        const settlement = { id, actual: units, isMade: false };
        expect(counters.settle(costing(1), settlement, nowMs).was).toBe(was);
        expect(counters.peek(costing(1), nowMs)[0]).toMatchObject(expected);
      } else if (verb === "reserve") {
        const check = { ...costing(units), reserve: { id, ttlMs } };
        expect(counters.check(check, nowMs)[0]).toMatchObject(expected);
      } else expect(counters[verb](costing(units), nowMs)[0]).toMatchObject(expected);
    }
  });

  it("as the object has it", async () => {
    const owner = env.TURNPIKE_OWNERS.getByName(`weur/${crypto.randomUUID()}`);
    for (const { nowMs, verb, id, units, ttlMs, was, ...expected } of steps) {
      vi.setSystemTime(nowMs);
      const settle = { id, actual: units, isMade: false };
      const asked =
        verb === "settle"
          ? { ...costing(1), settle }
          : { ...costing(units), ...(verb === "reserve" && { reserve: { id, ttlMs } }) };
      const call = verb === "settle" ? "refund" : verb === "reserve" ? "check" : verb;
      const answer = await askObject(owner, call, [asked]);
      expect(answer.verdicts[0]?.[0]).toMatchObject(expected);
      expect(answer.was?.[0]).toBe(was);
    }
  });
});
