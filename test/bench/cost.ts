/**
 * What a month of checks costs: Turnpike's objects from what was measured, and the same elsewhere.
 *
 * Pure arithmetic on list prices of November 2026. Leaves out the Worker's own requests ($0.30 a
 * million), which are paid with any limiter, and what the rest of an account takes from the
 * allowances.
 */

/** A price in dollars, and how much of it a month on the paid plan includes. */
interface Price {
  each: number;
  included: number;
}

/** https://developers.cloudflare.com/durable-objects/platform/pricing/ */
const OBJECT_REQUEST: Price = { each: 0.15e-6, included: 1e6 };
const GIGABYTE_SECOND: Price = { each: 12.5e-6, included: 400_000 };
const ROW_WRITTEN: Price = { each: 1e-6, included: 50e6 };
/** https://developers.cloudflare.com/kv/platform/pricing/: a check reads once and writes once. */
const KV_READ: Price = { each: 0.5e-6, included: 10e6 };
const KV_WRITE: Price = { each: 5e-6, included: 1e6 };
/** https://upstash.com/pricing/redis */
const UPSTASH_COMMAND: Price = { each: 2e-6, included: 0 };
/** https://upstash.com/docs/redis/sdks/ratelimit-ts/costs: of a check that nothing has cached. */
const UPSTASH_FIXED_WINDOW_COMMANDS = 2;
const UPSTASH_SLIDING_WINDOW_COMMANDS = 4;

/** What an object is billed as while it is in memory, whatever it takes. */
const OBJECT_GIGABYTES = 0.128;
const SECONDS_AN_HOUR = 3_600;

/** A month of a limiter. */
export interface Usage {
  /** Requests to decide on. */
  checks: number;
  /** Part of them answered from the denial cache, 0 to 1, as measured. */
  cachedShare: number;
  /** Checks that one RPC carries, at least 1, as measured. */
  checksPerRpc: number;
  /** Hours that owners are in memory, all together: 4 owners all month are 2,920. */
  ownerHours: number;
  /** Rows that one owner writes in one of them, as measured. */
  rowsPerOwnerHour: number;
}

/** Dollars, by what they are paid for. */
export interface Cost {
  requests: number;
  duration: number;
  rows: number;
  total: number;
}

/**
 * Returns what Turnpike's objects cost.
 *
 * @throws {RangeError} naming the field, the rule and the value
 * @example costOf({ checks: 1e9, cachedShare: 0, checksPerRpc: 20, ...rest }).requests // 7.35
 */
export function costOf(usage: Usage): Cost {
  const { checks, cachedShare, checksPerRpc, ownerHours, rowsPerOwnerHour } = usage;
  requireWithin("checks", checks, 0);
  requireWithin("cachedShare", cachedShare, 0, 1);
  requireWithin("checksPerRpc", checksPerRpc, 1);
  requireWithin("ownerHours", ownerHours, 0);
  requireWithin("rowsPerOwnerHour", rowsPerOwnerHour, 0);
  const requests = dollars((checks * (1 - cachedShare)) / checksPerRpc, OBJECT_REQUEST);
  const duration = dollars(ownerHours * SECONDS_AN_HOUR * OBJECT_GIGABYTES, GIGABYTE_SECOND);
  const rows = dollars(ownerHours * rowsPerOwnerHour, ROW_WRITTEN);
  return { requests, duration, rows, total: requests + duration + rows };
}

/** Returns what as many checks cost elsewhere, dollars. */
export function costElsewhere(checks: number): Record<string, number> {
  return {
    "one RPC each, without duration": dollars(checks, OBJECT_REQUEST),
    "Upstash Redis, fixed window": dollars(checks * UPSTASH_FIXED_WINDOW_COMMANDS, UPSTASH_COMMAND),
    "Upstash Redis, sliding window": dollars(
      checks * UPSTASH_SLIDING_WINDOW_COMMANDS,
      UPSTASH_COMMAND,
    ),
    "Workers KV, which miscounts": dollars(checks, KV_READ) + dollars(checks, KV_WRITE),
  };
}

function dollars(count: number, { each, included }: Price): number {
  return Math.max(0, count - included) * each;
}

function requireWithin(field: string, value: number, least: number, most = Number.MAX_VALUE): void {
  if (value >= least && value <= most) return;
  throw new RangeError(`${field} must be a number from ${least} to ${most}, not ${value}`);
}
