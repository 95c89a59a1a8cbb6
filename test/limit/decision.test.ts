import { describe, expect, it } from "vitest";
import { type Decision, decisive } from "../../src/limit/decision.ts";

function decision(policy: string, remaining: number, retryAfterMs = 0): Decision {
  const allowed = retryAfterMs === 0;
  return {
    allowed,
    policy,
    limit: 10,
    remaining,
    resetMs: 1_000,
    retryAfterMs,
    delayMs: 0,
    reason: allowed ? "ok" : "limited",
    source: "owner",
    exact: true,
  };
}

describe("the decisive decision", () => {
  it("is the one with the least left if all allow", () => {
    expect(decisive([decision("a", 5), decision("b", 2), decision("c", 3)]).policy).toBe("b");
  });

  it("is the one that denies, whatever the others have left", () => {
    expect(decisive([decision("a", 0), decision("b", 9, 1)]).policy).toBe("b");
  });

  it("is the denial that lasts longest", () => {
    const denials = [decision("a", 0, 5), decision("b", 0, 7), decision("c", 0, 6)];
    expect(decisive(denials).policy).toBe("b");
  });
});
