/** Callers and owners of two versions of the wire, as during a deployment. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import type { CounterNamespace } from "../../src/protocol/rpc.ts";
import { decodeBatch, WIRE_VERSION, type WireBatch } from "../../src/protocol/wire.ts";
import { decodeAnswer, encodeAnswer, type WireAnswer } from "../../src/protocol/wire-answer.ts";
import { STILL } from "../fake-runtime.ts";
import { DECIDED, PLAIN, RECORDED } from "../protocol/recorded.ts";
import { FakeOwners } from "./fake-owners.ts";

/** All owners; `answer` replaces what each answers to a check. */
function owners(answer: (batch: WireBatch, given: WireAnswer) => WireAnswer): CounterNamespace {
  const real = new FakeOwners();
  return {
    getByName(name, options) {
      const stub = real.getByName(name, options);
      return { ...stub, check: async (batch) => answer(batch, await stub.check(batch)) };
    },
  };
}

function isolate(namespace: CounterNamespace, reported: string[] = []): Caller {
  return new Caller({
    owners: namespace,
    ownersPerRegion: 4,
    homeRegion: "weur",
    hashSecret: "secret",
    deadlineMs: 1_000,
    runtime: STILL,
    reportFailure: (owner) => void reported.push(owner),
  });
}

function question(limit: number) {
  const policies = [parsePolicy({ limit, window: "1d" })];
  return { key: [crypto.randomUUID()], policies, region: "weur" as const };
}

let lines: string[];

beforeEach(() => {
  lines = [];
  vi.spyOn(console, "error").mockImplementation((line) => void lines.push(line));
  vi.spyOn(console, "warn").mockImplementation((line) => void lines.push(line));
});

afterEach(() => vi.restoreAllMocks());

describe("wire versions", () => {
  it("that are one apart share one exact count", async () => {
    // Answers as they were written before they had a version: the batch's version is not read.
    const old = owners((batch, given) => {
      const { checks } = decodeBatch(batch);
      return encodeAnswer(decodeAnswer(given, checks) ?? DECIDED, 1);
    });
    const isolates = Array.from({ length: 4 }, () => isolate(old));
    const asked = question(3);
    const decisions = [];
    for (let n = 0; n < 20; n++) {
      const [reply] = (await isolates[n % 4]?.check([asked])) ?? [];
      decisions.push(reply?.decisions[0]);
    }
    expect(decisions.filter((each) => each?.allowed)).toHaveLength(3);
    expect(decisions.filter((each) => each?.exact)).toHaveLength(20);
    expect(new Set(decisions.map((each) => each?.source))).toEqual(
      new Set(["owner", "denial-cache"]),
    );
    expect(lines).toEqual([]);
  });

  it("that are too far apart are logged, and are no failure of the owner", async () => {
    let calls = 0;
    const reported: string[] = [];
    const caller = isolate(
      owners(() => {
        calls++;
        return Float64Array.of(WIRE_VERSION + 1, 7, 7, 7);
      }),
      reported,
    );
    const asked = question(100);
    for (let n = 0; n < 20; n++) {
      const [reply] = await caller.check([asked]);
      expect(reply?.decisions[0]).toMatchObject({ source: "fallback", exact: false });
    }
    // Each check reached its owner: no owner is skipped, so all is well once it is updated.
    expect(calls).toBe(20);
    expect(reported).toEqual([]);
    const events = new Set(lines.map((line) => JSON.parse(line).event));
    expect(events).toEqual(new Set(["wire-version"]));
  });

  it("are each answered in the version of the question", async () => {
    for (const { plain, decided } of RECORDED) {
      const owner = env.TURNPIKE_OWNERS.getByName(crypto.randomUUID());
      const answer = (await owner.check(plain)) as Float64Array;
      expect(answer).toHaveLength((decided as Float64Array).length);
      const { verdicts } = decodeAnswer(answer, PLAIN.checks) ?? {};
      expect(verdicts?.map((each) => each?.map(({ remaining }) => remaining))).toEqual([
        [9],
        [6, 9],
      ]);
    }
  });
});
