/** What the limiter counts of itself, by what its parts tell. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Question, Reply } from "../../src/caller/question.ts";
import type { Decision, Source } from "../../src/limit/decision.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { DropWarning } from "../../src/owner/drop-warning.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";
import { watch } from "../../src/watch/watch.ts";

const policies = [parsePolicy({ name: "site", limit: 1, window: "1m" })];
const question: Question = { key: ["192.0.2.77"], policies, region: "weur" };

let counts: Record<string, number>;
/** What chose the owner of each event, by name. */
let owners: Record<string, string[]>;
const count = (region: string, name: string, key: string, amount: number, by = key) => {
  const id = `${region} ${name} ${key}`;
  counts[id] = (counts[id] ?? 0) + amount;
  owners[name] = [...(owners[name] ?? []), by];
};
const options = { label: "prefix", loggedDenials: 0 } as const;
const newWatch = () => watch(options, count, keyHasher("a secret"));

beforeEach(() => {
  counts = {};
  owners = {};
  vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function replyBy(source: Source): Reply {
  const decision = {
    ...{ allowed: true, policy: "site", limit: 1, remaining: 0, resetMs: 9, retryAfterMs: 0 },
    ...{ delayMs: 0, reason: "ok" as const, source, exact: true },
  };
  return { question, decisions: [decision], atMs: 0 };
}

describe("what the limiter counts of itself", () => {
  it("has a second of the fallback once, however many checks it decided", () => {
    const { decided } = newWatch();
    for (let n = 0; n < 25; n++) {
      decided([replyBy("fallback"), replyBy("fallback"), replyBy("owner")], 0);
      vi.setSystemTime(Date.now() + 100);
    }
    expect(counts["weur turnpike.fallback_seconds []"]).toBe(3);
    const key = JSON.stringify(["outcome", "allowed", "policy", "site", "reason", "ok"]);
    const bySource = (source: string) =>
      `weur turnpike.decisions ${key.slice(0, -1)},"source","${source}"]`;
    expect([counts[bySource("fallback")], counts[bySource("owner")]]).toEqual([50, 25]);
  });

  it("has a request once, however many policies decide it, by the strictest", () => {
    const { decided, requested } = newWatch();
    const [allowed, denied] = [replyBy("owner"), replyBy("denial-cache")];
    const login = { ...denied.decisions[0], allowed: false, policy: "login" } as Decision;
    const [site] = allowed.decisions;
    for (const replies of [
      [{ ...allowed, decisions: [site as Decision, login] }],
      [allowed, replyBy("fallback")],
    ]) {
      requested(replies);
      for (const reply of replies) decided([reply], 0);
    }
    expect(counts).toMatchObject({
      'weur turnpike.requests ["outcome","denied","source","denial-cache"]': 1,
      'weur turnpike.requests ["outcome","allowed","source","fallback"]': 1,
      'weur turnpike-clients ["client","192.0.2.*","outcome","denied","policy","login"]': 1,
      'weur turnpike-clients ["client","192.0.2.*","outcome","allowed","policy","site"]': 2,
    });
  });

  it("has how long checks waited that an owner answered, and no others", () => {
    const { decided } = newWatch();
    decided([replyBy("owner"), replyBy("denial-cache")], 7);
    expect(counts['weur turnpike.latency ["le","10"]']).toBe(1);
    expect(counts['weur turnpike.latency ["sum","ms"]']).toBe(7);
    expect(new Set(owners["turnpike.latency"]).size).toBe(1);
  });

  it("has calls by the owner that was called, in its region", () => {
    const { called } = newWatch();
    for (const owner of ["enam/3", "weur/0", "enam/3"]) called(owner);
    expect(counts).toEqual({
      'enam turnpike.calls ["to","enam/3"]': 2,
      'weur turnpike.calls ["to","weur/0"]': 1,
    });
  });

  it("has what an owner wrote, all of it at one owner of events", () => {
    const { written } = newWatch();
    written("weur/2", "checkpoint", { writes: 2, rows: 5, bytes: 900 });
    written("weur/2", "awaited", { writes: 0, rows: 1, bytes: 0 });
    expect(counts).toEqual({
      'weur turnpike.disk ["by","weur/2","kind","checkpoint","unit","writes"]': 2,
      'weur turnpike.disk ["by","weur/2","kind","checkpoint","unit","rows"]': 5,
      'weur turnpike.disk ["by","weur/2","kind","checkpoint","unit","bytes"]': 900,
      'weur turnpike.disk ["by","weur/2","kind","awaited","unit","rows"]': 1,
    });
    expect(new Set(owners["turnpike.disk"]).size).toBe(1);
  });

  it("has all that an owner evicted, told at most once a minute", () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { evicted } = newWatch();
    const told: number[] = [];
    const warning = new DropWarning((rows) => {
      told.push(rows);
      evicted("weur/2", rows);
    });
    for (let n = 0; n <= 90; n++) warning.tell(n * 10, 100, n * 1_000);
    for (let n = 91; warning.tell(900, 100, n * 1_000); n++) expect(n).toBeLessThanOrEqual(150);
    expect(told).toEqual([10, 600, 290]);
    expect(counts).toEqual({ 'weur turnpike.evicted ["by","weur/2"]': 900 });
  });
});
