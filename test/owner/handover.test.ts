import { expect, test } from "vitest";
import type { CounterPolicy } from "../../src/counters/check.ts";
import type { Verdict } from "../../src/limit/decision.ts";
import { Bench } from "./memory-storage.ts";
import { TEN_A_DAY } from "./ten-a-day.ts";

const FIVE_A_DAY: CounterPolicy = { ...TEN_A_DAY, name: "other", limit: 5, capacity: 5 };
/** Far more than go into one parcel. */
const KEYS = 40_000;

test("hands over all that is counted of a key, in however many parcels", async () => {
  const policies = [TEN_A_DAY, FIVE_A_DAY];
  const checks = Array.from({ length: KEYS }, (_, lo) => ({ key: { hi: 7, lo }, policies }));
  const before = await new Bench().start();
  before.check(checks);
  const after = await new Bench().start();
  after.handover.begin(1);
  let parcels = 0;
  for (let next: number | null = 0; next !== null; parcels++) {
    const parcel = before.handover.giveSome("weur/1", next, () => true, before.now());
    after.handover.take(parcel.rows, after.now());
    next = parcel.next;
  }
  expect(parcels).toBeGreaterThan(2);
  const { verdicts } = after.peek(checks);
  const isWhole = (each: Verdict[] = []) => each[0]?.remaining === 9 && each[1]?.remaining === 4;
  expect(verdicts.filter(isWhole)).toHaveLength(KEYS);
});
