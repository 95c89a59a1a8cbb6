import { expect, it } from "vitest";
import { Fallback } from "../../src/caller/fallback.ts";
import { counterPolicy } from "../../src/caller/message.ts";
import { parsePolicy } from "../../src/limit/policy.ts";
import { type KeyHash, PUBLIC_SIP_KEY, sipHash } from "../../src/ring/key-hash.ts";

const NOW_MS = 1_700_000_000_000;
const POLICY = parsePolicy({ limit: 2, window: "1d" });

it("goes on denying a key while ever new ones come, however many", () => {
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
