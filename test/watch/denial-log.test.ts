import { afterEach, describe, expect, it, vi } from "vitest";
import type { Question, Reply } from "../../src/caller/question.ts";
import type { Decision } from "../../src/limit/decision.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { keyHasher } from "../../src/ring/key-hash.ts";
import type { LabelForm } from "../../src/watch/label.ts";
import { watch } from "../../src/watch/watch.ts";

const DENIED: Decision = {
  ...{ allowed: false, policy: "site", limit: 1, remaining: 0, resetMs: 9, retryAfterMs: 9 },
  ...{ delayMs: 0, reason: "limited", source: "owner", exact: true },
};
const policies = [parsePolicy({ name: "site", limit: 1, window: "1m" })];
const question: Question = { key: ["192.0.2.77"], policies, region: "weur" };

/** Denies as many requests, 100 ms apart. @returns the lines that were logged */
function deny(requests: number, label: LabelForm, loggedDenials: number): string[] {
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 });
  const reply: Reply = { question, decisions: [DENIED], atMs: 0 };
  const { decided } = watch({ label, loggedDenials }, () => {}, keyHasher("a secret"));
  for (let n = 0; n < requests; n++) {
    decided([reply], 0);
    vi.setSystemTime(Date.now() + 100);
  }
  return logged.mock.calls.map(([line]) => String(line));
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("denials in the log", () => {
  it("are one line a policy and second at most", () => {
    const lines = deny(50, "prefix", 1);
    expect(lines.length).toBe(5);
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      ...{ event: "denied", policy: "site", client: "192.0.2.*" },
      ...{ reason: "limited", source: "owner" },
    });
  });

  it("are not there unless a share is set", () => {
    expect(deny(50, "prefix", 0)).toEqual([]);
  });

  it.each(["full", "hashed"] as const)("never have the key, with the label %s", (label) => {
    expect(deny(1, label, 1).join()).not.toContain("192.0.2.77");
  });
});
