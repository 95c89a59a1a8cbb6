import { expect, it, onTestFinished } from "vitest";
import { Fallback } from "../../src/caller/fallback.ts";
import { counterPolicy } from "../../src/caller/message.ts";
import { checkOnce } from "../../src/counters/answers.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";

const NOW_MS = 1_700_000_000_000;
const POLICY = parsePolicy({ limit: 2, window: "1d" });

it("goes on denying a key while new keys come, however many", () => {
  const fallback = new Fallback();
  const check = (key: KeyHash) =>
    fallback.decide("check", { key, policies: [counterPolicy(POLICY)] }, [POLICY], NOW_MS)[0];
  const attacker = sipHash(PUBLIC_SIP_KEY, "attacker");
  const passed = [1, 2, 3].map(() => check(attacker)?.allowed);
  expect(passed).toEqual([true, true, false]);
  for (let n = 0; n < 200_000; n++) {
    check(sipHash(PUBLIC_SIP_KEY, `${n}`));
    if (n % 10_000 === 0) expect(check(attacker)?.allowed).toBe(false);
  }
});

it("counts a check once that is sent again with its requestId, in the deployed Worker", () => {
  Fallback.checkOnce = checkOnce;
  onTestFinished(() => {
    Fallback.checkOnce = undefined;
  });
  const fallback = new Fallback();
  const DENIED = parsePolicy({ name: "denied", limit: 9, window: "1d", onFailure: "deny" });
  const OPEN = parsePolicy({ name: "open", limit: 9, window: "1d", onFailure: "allow" });
  const ask = (requestId: number | undefined, policies = [POLICY], nowMs = NOW_MS) => {
    const check = { key: { hi: 1, lo: 2 }, policies: policies.map(counterPolicy) };
    return fallback.decide(
      "check",
      requestId === undefined ? check : { ...check, requestId },
      policies,
      nowMs,
    );
  };
  const first = ask(7);
  expect(first).toMatchObject([{ allowed: true, remaining: 1, source: "fallback", exact: false }]);
  expect(ask(7)).toEqual(first);
  // A check that another policy denies anyway counts nothing.
  expect(ask(6, [POLICY, DENIED])).toMatchObject([{ remaining: 1 }, { allowed: false }]);
  const second = ask(8, [OPEN, POLICY]);
  expect(second).toMatchObject([{ reason: "failed" }, { allowed: true, remaining: 0 }]);
  expect(ask(undefined)).toMatchObject([{ allowed: false }]);
  expect(ask(8, [OPEN, POLICY])).toEqual(second);
  expect(ask(7)).toEqual(first);
  expect(ask(7, [POLICY], NOW_MS + 60_000)).toMatchObject([{ allowed: false }]);
});
