/** Points of Analytics Engine: what is in one, how many there are, and what is in none. */
import { describe, expect, it } from "vitest";
import type { Question, Reply } from "../../src/caller/question.ts";
import type { Decision } from "../../src/limit/decision.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";
import { analyticsPoints } from "../../src/watch/analytics.ts";
import { watch } from "../../src/watch/watch.ts";

const policies = [parsePolicy({ name: "site", limit: 1, window: "1m" })];
const question: Question = { key: ["192.0.2.77"], policies, region: "weur" };

function reply(change: Partial<Decision>): Reply {
  const decision: Decision = {
    ...{ allowed: true, policy: "site", limit: 1, remaining: 0, resetMs: 9, retryAfterMs: 0 },
    ...{ delayMs: 0, reason: "ok", source: "owner", exact: true, ...change },
  };
  return { question, decisions: [decision], atMs: 0 };
}

function start() {
  const written: { indexes: string[]; doubles: number[] }[] = [];
  const dataset = { writeDataPoint: (point: (typeof written)[0]) => void written.push(point) };
  const points = analyticsPoints({ TURNPIKE_ANALYTICS: dataset });
  const options = { label: "full", loggedDenials: 0 } as const;
  const watching = watch(options, () => {}, keyHasher("a secret"), points);
  return { written, points, watching };
}

describe("points of Analytics Engine", () => {
  it("are one sum for all that was counted since the last, without keys", () => {
    const { written, points, watching } = start();
    const denied = { allowed: false, reason: "limited", source: "denial-cache" } as const;
    watching.called("weur/0");
    watching.decided(
      [reply({}), reply(denied), reply({ reason: "shadow" }), reply({ source: "fallback" })],
      0,
    );
    points?.flush();
    const [point, ...others] = written;
    expect(others).toEqual([]);
    const { doubles = [] } = point ?? {};
    expect([...doubles.slice(0, 5), doubles[6]]).toEqual([2, 1, 1, 1, 2, 1]);
    expect(JSON.stringify(written)).not.toContain("192.0.2");
    watching.decided([reply(denied)], 0);
    points?.flush();
    expect(written[1]?.doubles).toEqual([0, 1, 0, 0, 0, 0, 0]);
  });

  it("are none while nothing is counted", () => {
    const { written, points } = start();
    points?.flush();
    expect(written).toEqual([]);
  });

  it("are none without a dataset, and nothing else takes them", () => {
    expect(analyticsPoints({})).toBeUndefined();
    expect(() => analyticsPoints({ TURNPIKE_ANALYTICS: "turnpike" })).toThrow(
      'TURNPIKE_ANALYTICS must be a dataset of Analytics Engine, got "turnpike"',
    );
  });
});
