/** Checks of made-up keys, without a table of them. */
import type { Check, CounterPolicy } from "../../src/counters/check.ts";

const HOUR_MS = 3_600_000;
const POLICY: CounterPolicy = {
  name: "default",
  algorithm: "fixed-window",
  limit: 1_000_000,
  windowMs: HOUR_MS,
  capacity: 1_000_000,
  cost: 1,
  shadow: false,
  durable: false,
};

/** The n-th check: made, not looked up, as a check that comes by RPC is in the cache. */
export function checkOf(n: number): Check {
  const hi = Math.imul(n ^ (n >>> 15), 0x2c1b3c6d);
  const lo = Math.imul(hi ^ (hi >>> 12), 0x297a2d39) ^ n;
  return { key: { hi: hi >>> 0, lo: lo >>> 0 }, policies: [POLICY] };
}
