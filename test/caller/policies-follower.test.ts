import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  PoliciesFollower,
  type PoliciesFollowerOptions,
} from "../../src/caller/policies-follower.ts";
import { parsePolicies } from "../../src/limit/policies.ts";
import type { PoliciesDocument } from "../../src/protocol/policies-document.ts";
import type { CounterNamespace, CounterStub } from "../../src/protocol/rpc.ts";
import type { WireBatch } from "../../src/protocol/wire.ts";
import type { WireAnswer } from "../../src/protocol/wire-answer.ts";
import { STILL } from "../fake-runtime.ts";

const LISTS = [
  [{ name: "a", limit: 1, window: "1h" }],
  [
    { name: "a", limit: 1, window: "1h" },
    { name: "b", limit: 2, window: "1h" },
  ],
];
const DEPLOYED = parsePolicies(LISTS[0], "POLICIES");
const BATCH = { version: 0, policies: [], words: new Uint32Array(), spent: null } as WireBatch;
const NUMBERS = new Float64Array([2, 0, 0]);

let nowMs: number;
let asked: [region: string, known: number][];
let tasks: Promise<unknown>[];
/** What each region's membership object answers. */
let answers: Record<string, PoliciesDocument | null | Error | "never">;
/** What the owner answers, and which batches it got. */
let answer: WireAnswer;
let sent: WireBatch[];
let follower: PoliciesFollower;
let options: PoliciesFollowerOptions;
let owner: CounterStub;

function documentOf(version: number, list: unknown = LISTS[1]): PoliciesDocument {
  const policies = JSON.stringify(list);
  return { version, source: "live", policies, by: null, atMs: 0 };
}

let lines: string[];

beforeEach(() => {
  lines = [];
  vi.spyOn(console, "log").mockImplementation((line) => void lines.push(line));
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
  nowMs = 1_700_000_000_000;
  [asked, tasks, answers, sent] = [[], [], {}, []];
  answer = NUMBERS;
  options = {
    deployed: DEPLOYED,
    homeRegion: "weur",
    deadlineMs: 250,
    ask: async (region, known) => {
      asked.push([region, known]);
      const found = answers[region];
      if (found instanceof Error) throw found;
      if (found === "never") return new Promise(() => {});
      return found ?? null;
    },
    runtime: { ...STILL, now: () => nowMs, keepAlive: (task) => void tasks.push(task) },
  };
  follower = new PoliciesFollower(options);
  const stub = {
    check: async (batch: WireBatch) => {
      sent.push(batch);
      return answer;
    },
  };
  const owners = { getByName: () => stub } as unknown as CounterNamespace;
  owner = follower.through(owners).getByName("oc/3", {} as never);
});

afterEach(() => vi.restoreAllMocks());

const check = async () => {
  await owner.check(BATCH);
  await Promise.all(tasks);
};

it("logs that an isolate decides under other policies than the deployed ones", async () => {
  // A line a minute, for all isolates that a test has had.
  vi.useFakeTimers({ now: 2_000_000_000_000 });
  await check();
  follower.follow({ ...documentOf(1), source: "deployment" });
  expect(lines).toEqual([]);
  follower.follow(documentOf(2));
  expect(lines).toEqual(['{"event":"policies-live","version":2,"times":1}']);
  follower.follow(documentOf(3, "no list"));
  vi.useRealTimers();
  expect(lines).toHaveLength(1);
});

describe("an isolate", () => {
  it("asks nobody and sends nothing more while nobody has changed the policies", async () => {
    for (let n = 0; n < 3; n++) await check();
    expect(asked).toEqual([]);
    expect(sent).toEqual([BATCH, BATCH, BATCH]);
    expect(sent[0]).toBe(BATCH);
    expect(follower.policies).toBe(DEPLOYED);
  });

  it("fetches a later version once, and names it from then on", async () => {
    answer = { numbers: NUMBERS, live: 3 };
    answers = { oc: documentOf(3) };
    await check();
    expect(asked).toEqual([["oc", 0]]);
    expect(follower.policies.map(({ name }) => name)).toEqual(["a", "b"]);
    await check();
    await check();
    expect(asked).toHaveLength(1);
    expect(sent.map(({ live }) => live)).toEqual([undefined, 3, 3]);
  });

  it("keeps the same object for a policy that did not change", async () => {
    follower.follow(documentOf(1));
    expect(follower.policies[0]).toBe(DEPLOYED[0]);
    const [, b] = follower.policies;
    follower.follow(documentOf(2, [{ name: "a", limit: 9, window: "1h" }, LISTS[1]?.[1]]));
    expect(follower.policies[0]).not.toBe(DEPLOYED[0]);
    expect(follower.policies[1]).toBe(b);
  });

  it("goes back to the deployment's policies, and never to an earlier version", () => {
    follower.follow(documentOf(2));
    follower.follow({ ...documentOf(3), source: "deployment" });
    expect(follower.policies).toBe(DEPLOYED);
    follower.follow(documentOf(2));
    expect(follower.policies).toBe(DEPLOYED);
  });

  it("asks the home region if the nearest one has not heard yet", async () => {
    answer = { numbers: NUMBERS, live: 2 };
    answers = { oc: documentOf(1, LISTS[0]), weur: documentOf(2) };
    await check();
    expect(asked).toEqual([
      ["oc", 0],
      ["weur", 1],
    ]);
    expect(follower.policies).toHaveLength(2);
  });

  it("asks again a second later if nobody answers", async () => {
    answer = { numbers: NUMBERS, live: 2 };
    answers = { oc: new Error("out of reach"), weur: new Error("out of reach") };
    await check();
    await check();
    expect(asked.map(([region]) => region)).toEqual(["oc", "weur"]);
    nowMs += 1_000;
    answers = { oc: documentOf(2) };
    await check();
    expect(follower.policies).toHaveLength(2);
  });

  it("asks the home region if the nearest one does not answer", async () => {
    answers = { oc: new Error("out of reach"), weur: documentOf(2) };
    await follower.begin(() => "oc");
    expect(follower.policies).toHaveLength(2);
  });

  it("asks again if the runtime ends the request that asks", async () => {
    answer = { numbers: NUMBERS, live: 2 };
    answers = { oc: "never" };
    await owner.check(BATCH);
    await owner.check(BATCH);
    expect(asked).toHaveLength(1);
    nowMs += 4_000;
    tasks = [];
    answers = { oc: documentOf(2) };
    await check();
    expect(follower.policies).toHaveLength(2);
  });

  it("asks every 3 s for a version that nobody knows, so that it follows within 5 s", async () => {
    answer = { numbers: NUMBERS, live: 9 };
    for (let second = 0; second < 120; second++) {
      await check();
      nowMs += 1_000;
    }
    // The region and the home region: at first after 1 and 2 s.
    expect(asked).toHaveLength(2 * 41);
    expect(follower.policies).toBe(DEPLOYED);
    answers = { weur: documentOf(9) };
    nowMs += 3_000;
    await check();
    expect(follower.policies).toHaveLength(2);
  });

  it.each([
    [{ ...documentOf(1), policies: "not JSON" }],
    [documentOf(1, [{ name: "a", limit: 1, window: "1h", ofLater: true }])],
    [documentOf(1, [])],
    [{ version: "1" } as unknown as PoliciesDocument],
  ])("keeps its policies where a document makes no sense: %j", async (document) => {
    answer = { numbers: NUMBERS, live: 1 };
    answers = { oc: document };
    await check();
    expect(follower.policies).toBe(DEPLOYED);
    answers = { oc: documentOf(2) };
    answer = { numbers: NUMBERS, live: 2 };
    nowMs += 1_000;
    await check();
    expect(follower.policies).toHaveLength(2);
  });

  it.each([-1, 1.5, Number.NaN, "7", 2 ** 40, {}, null])(
    "takes no garbage for a version: %j",
    async (live) => {
      answer = { numbers: NUMBERS, live } as WireAnswer;
      await check();
      expect(asked).toEqual([]);
    },
  );
});

describe("a new isolate", () => {
  it("waits for one answer before its first decisions, and then never again", async () => {
    answers = { sam: documentOf(4) };
    await Promise.all([follower.begin(() => "sam"), follower.begin(() => "sam")]);
    expect(follower.policies).toHaveLength(2);
    expect(follower.begin(() => "sam")).toBeUndefined();
    expect(asked).toEqual([["sam", 0]]);
  });

  it("asks nobody if nobody can change policies, and follows what it hears all the same", async () => {
    follower = new PoliciesFollower({ ...options, deadlineMs: 0 });
    expect(follower.begin(() => "sam")).toBeUndefined();
    expect(asked).toEqual([]);
    answers = { sam: documentOf(1) };
    follower.hear(1, "sam");
    await Promise.all(tasks);
    expect(follower.policies).toHaveLength(2);
  });

  it("begins with the deployment's policies if nobody answers", async () => {
    answers = { sam: new Error("out of reach") };
    await follower.begin(() => "sam");
    expect(follower.policies).toBe(DEPLOYED);
    expect(follower.begin(() => "sam")).toBeUndefined();
  });
});
