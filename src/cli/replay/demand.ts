/**
 * The limit that each client would need under a policy, so that none of its requests is denied.
 *
 * Exact for windows aligned to the epoch, fixed and sliding, and for buckets, whose burst keeps its
 * ratio to the limit. For the other algorithms it is that of a sliding window, which is close.
 */
import type { Policy } from "../../limit/policy.ts";
import { BucketNeed } from "./bucket-need.ts";
import { type Column, NumberedRows } from "./numbered-rows.ts";

/** Numbers of a key: its window, what it spent in it and in the window before. */
const KEY_NUMBERS = 3;
/** And, if the key is a client, the most that it needed under all its keys. */
export const DEMAND_NUMBERS = KEY_NUMBERS + 1;

/** Sums of fractions come out a little above a whole number. */
export const ROUNDING = 1e-9;

type DemandPolicy = Pick<Policy, "windowMs" | "cost" | "algorithm" | "limit" | "capacity">;

export class Demand {
  readonly #policy: DemandPolicy;
  readonly #rows: NumberedRows;
  readonly #first: number;
  readonly #bucket: BucketNeed | undefined;

  /**
   * @param rows of clients and keys, with room for `DEMAND_NUMBERS`
   * @param first which of them is the first
   */
  constructor(policy: DemandPolicy, rows = new NumberedRows(DEMAND_NUMBERS), first = 0) {
    this.#policy = policy;
    this.#rows = rows;
    this.#first = first;
    const { algorithm, limit, capacity, windowMs } = policy;
    if (algorithm === "token-bucket" || algorithm === "leaky-bucket") {
      this.#bucket = new BucketNeed(limit === 0 ? 1 : capacity / limit, windowMs);
    }
  }

  /**
   * @param key the number of the key that counts the request, which may be the client's
   * @param isCharged whether the request keeps its cost; it needs room for it in any case
   */
  add(key: number, client: number, atMs: number, isCharged = true): void {
    const { cost } = this.#policy;
    const needed = this.#bucket
      ? Math.ceil(this.#bucket.take(key, atMs, cost, isCharged) - ROUNDING)
      : this.#neededOfWindow(key, atMs, isCharged);
    const peak = this.#rows.rowOf(client) + this.#first + KEY_NUMBERS;
    const { numbers } = this.#rows;
    if (needed > (numbers[peak] as number)) numbers[peak] = needed;
  }

  /** What each client needs; 0 if the policy never counted it. */
  peaks(): Column {
    return this.#rows.column(this.#first + KEY_NUMBERS);
  }

  #neededOfWindow(key: number, atMs: number, isCharged: boolean): number {
    const { windowMs, cost, algorithm } = this.#policy;
    const row = this.#rows.rowOf(key) + this.#first;
    const { numbers } = this.#rows;
    // The numbers of short windows exceed 32 bits. Only differences matter.
    const window = Math.floor(atMs / windowMs) | 0;
    const ahead = (window - (numbers[row] as number)) | 0;
    const last = numbers[row + 1] as number;
    const spent = ahead === 0 ? last : 0;
    if (ahead !== 0) {
      numbers[row] = window;
      numbers[row + 2] = ahead === 1 ? last : 0;
    }
    numbers[row + 1] = isCharged ? spent + cost : spent;
    const overlap = algorithm === "fixed-window" ? 0 : 1 - (atMs % windowMs) / windowMs;
    return Math.ceil(spent + cost + (numbers[row + 2] as number) * overlap);
  }
}
