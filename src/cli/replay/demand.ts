/**
 * The limit that each client would need under a policy, so that none of its requests is denied.
 *
 * Exact for windows aligned to the epoch, fixed and sliding. For the other algorithms it is that of
 * a sliding window, which is close.
 */
import type { Policy } from "../../limit/policy.ts";
import { type Column, NumberedRows } from "./numbered-rows.ts";

/** Numbers of keys that are not a client's begin here. */
export const FIRST_KEY = 2 ** 30;

/** Numbers of a key: its window, what it spent in it and in the window before. */
const KEY_NUMBERS = 3;
/** And of a client, the most that it needed. */
export const DEMAND_NUMBERS = KEY_NUMBERS + 1;

export class Demand {
  readonly #policy: Pick<Policy, "windowMs" | "cost" | "algorithm">;
  readonly #clients: NumberedRows;
  readonly #first: number;
  readonly #keys = new NumberedRows(KEY_NUMBERS);

  /**
   * @param clients rows with room for `DEMAND_NUMBERS`
   * @param first which of them is the first
   */
  constructor(
    policy: Pick<Policy, "windowMs" | "cost" | "algorithm">,
    clients = new NumberedRows(DEMAND_NUMBERS),
    first = 0,
  ) {
    this.#policy = policy;
    this.#clients = clients;
    this.#first = first;
  }

  /**
   * @param key the client's number, or one from `FIRST_KEY` on
   * @param isCharged whether the request keeps its cost; it needs room for it in any case
   */
  add(key: number, client: number, atMs: number, isCharged = true): void {
    const { windowMs, cost, algorithm } = this.#policy;
    const own = this.#clients.rowOf(client) + this.#first;
    const row = key === client ? own : this.#keys.rowOf(key - FIRST_KEY);
    const rows = key === client ? this.#clients.numbers : this.#keys.numbers;
    // The numbers of short windows exceed 32 bits. Only differences matter.
    const window = Math.floor(atMs / windowMs) | 0;
    const ahead = (window - (rows[row] as number)) | 0;
    const last = rows[row + 1] as number;
    const spent = ahead === 0 ? last : 0;
    if (ahead !== 0) {
      rows[row] = window;
      rows[row + 2] = ahead === 1 ? last : 0;
    }
    rows[row + 1] = isCharged ? spent + cost : spent;
    const overlap = algorithm === "fixed-window" ? 0 : 1 - (atMs % windowMs) / windowMs;
    const needed = Math.ceil(spent + cost + (rows[row + 2] as number) * overlap);
    const { numbers } = this.#clients;
    const peak = own + KEY_NUMBERS;
    if (needed > (numbers[peak] as number)) numbers[peak] = needed;
  }

  /** What each client needs; 0 if the policy never counted it. */
  peaks(): Column {
    return this.#clients.column(this.#first + KEY_NUMBERS);
  }
}
