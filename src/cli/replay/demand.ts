/**
 * The limit that each client would need under a policy, so that none of its requests is denied.
 *
 * Exact for windows aligned to the epoch, fixed and sliding. For the other algorithms it is that of
 * a sliding window, which is close.
 */
import type { Policy } from "../../limit/policy.ts";
import { NumberedCounts } from "./numbered-counts.ts";

/** Numbers of keys that are not a client's begin here. */
export const FIRST_KEY = 2 ** 30;

/** Numbers in a key's row: its window, what it spent in it, and in the window before. */
const ROW = 3;

export class Demand {
  readonly #policy: Pick<Policy, "windowMs" | "cost" | "algorithm">;
  readonly #ofClients = new NumberedCounts();
  readonly #ofKeys = new NumberedCounts();
  /** By client. */
  readonly #peaks = new NumberedCounts();

  constructor(policy: Pick<Policy, "windowMs" | "cost" | "algorithm">) {
    this.#policy = policy;
  }

  /** @param isCharged whether the request keeps its cost; it needs room for it in any case */
  add(key: number, client: number, atMs: number, isCharged = true): void {
    const { windowMs, cost, algorithm } = this.#policy;
    const rows = key < FIRST_KEY ? this.#ofClients : this.#ofKeys;
    const row = (key < FIRST_KEY ? key : key - FIRST_KEY) * ROW;
    // The numbers of short windows exceed 32 bits. Only differences matter.
    const window = Math.floor(atMs / windowMs) | 0;
    const ahead = (window - rows.of(row)) | 0;
    const spent = ahead === 0 ? rows.of(row + 1) : 0;
    let previous = rows.of(row + 2);
    if (ahead !== 0) {
      previous = ahead === 1 ? rows.of(row + 1) : 0;
      rows.set(row + 2, previous);
      rows.set(row, window);
    }
    rows.set(row + 1, isCharged ? spent + cost : spent);
    const overlap = algorithm === "fixed-window" ? 0 : 1 - (atMs % windowMs) / windowMs;
    const needed = Math.ceil(spent + cost + previous * overlap);
    if (needed > this.#peaks.of(client)) this.#peaks.set(client, needed);
  }

  /** What each client needs, ascending. */
  peaks(): Int32Array {
    return this.#peaks.sorted();
  }

  /** The clients that need most, the first most of all. */
  neediest(most: number): { client: number; peak: number }[] {
    return this.#peaks.largest(most).map(({ number, count }) => ({ client: number, peak: count }));
  }
}
