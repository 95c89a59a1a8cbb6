/**
 * The limit that each client would need under a policy, so that none of its requests is denied.
 *
 * Exact for windows aligned to the epoch, fixed and sliding, and for buckets, whose burst keeps its
 * ratio to the limit. For the other algorithms it is that of a sliding window, which is close.
 */
import type { Policy } from "../../limit/policy.ts";
import { BucketNeed } from "./bucket-need.ts";
import { type Column, NumberedRows } from "./numbered-rows.ts";

/** Numbers of keys that are not a client's begin here. */
export const FIRST_KEY = 2 ** 30;

/** Numbers of a key: its window, what it spent in it and in the window before. */
const KEY_NUMBERS = 3;
/** And of a client, the most that it needed. */
export const DEMAND_NUMBERS = KEY_NUMBERS + 1;

/** Sums of fractions come out a little above a whole number. */
export const ROUNDING = 1e-9;

type DemandPolicy = Pick<Policy, "windowMs" | "cost" | "algorithm" | "limit" | "capacity">;

export class Demand {
  readonly #policy: DemandPolicy;
  readonly #clients: NumberedRows;
  readonly #first: number;
  readonly #keys = new NumberedRows(KEY_NUMBERS);
  /** Of clients, and of other keys. */
  readonly #buckets: readonly [BucketNeed, BucketNeed] | undefined;

  /**
   * @param clients rows with room for `DEMAND_NUMBERS`
   * @param first which of them is the first
   */
  constructor(policy: DemandPolicy, clients = new NumberedRows(DEMAND_NUMBERS), first = 0) {
    this.#policy = policy;
    this.#clients = clients;
    this.#first = first;
    const { algorithm, limit, capacity, windowMs } = policy;
    if (algorithm === "token-bucket" || algorithm === "leaky-bucket") {
      const ratio = limit === 0 ? 1 : capacity / limit;
      this.#buckets = [new BucketNeed(ratio, windowMs), new BucketNeed(ratio, windowMs)];
    }
  }

  /**
   * @param key the client's number, or one from `FIRST_KEY` on
   * @param isCharged whether the request keeps its cost; it needs room for it in any case
   */
  add(key: number, client: number, atMs: number, isCharged = true): void {
    const needed = this.#buckets
      ? this.#neededOfBucket(this.#buckets, key, client, atMs, isCharged)
      : this.#neededOfWindow(key, client, atMs, isCharged);
    const peak = this.#clients.rowOf(client) + this.#first + KEY_NUMBERS;
    const { numbers } = this.#clients;
    if (needed > (numbers[peak] as number)) numbers[peak] = needed;
  }

  /** What each client needs; 0 if the policy never counted it. */
  peaks(): Column {
    return this.#clients.column(this.#first + KEY_NUMBERS);
  }

  #neededOfBucket(
    [clients, others]: readonly [BucketNeed, BucketNeed],
    key: number,
    client: number,
    atMs: number,
    isCharged: boolean,
  ): number {
    const { cost } = this.#policy;
    const needed =
      key === client
        ? clients.take(client, atMs, cost, isCharged)
        : others.take(key - FIRST_KEY, atMs, cost, isCharged);
    return Math.ceil(needed - ROUNDING);
  }

  #neededOfWindow(key: number, client: number, atMs: number, isCharged: boolean): number {
    const { windowMs, cost, algorithm } = this.#policy;
    const isClients = key === client;
    const row = isClients
      ? this.#clients.rowOf(client) + this.#first
      : this.#keys.rowOf(key - FIRST_KEY);
    const { numbers } = isClients ? this.#clients : this.#keys;
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
