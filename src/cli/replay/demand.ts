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

/** Numbers in a row: of a key, its window, what it spent in it and in the window before. */
const ROW = 4;
/** And of a client, the most that it needed. */
const PEAK = 3;

export class Demand {
  readonly #policy: Pick<Policy, "windowMs" | "cost" | "algorithm">;
  /** By number of the client, and of the key: one row has all that a request changes. */
  #ofClients = new Int32Array(1_024 * ROW);
  #ofKeys = new Int32Array();

  constructor(policy: Pick<Policy, "windowMs" | "cost" | "algorithm">) {
    this.#policy = policy;
  }

  /** @param isCharged whether the request keeps its cost; it needs room for it in any case */
  add(key: number, client: number, atMs: number, isCharged = true): void {
    const { windowMs, cost, algorithm } = this.#policy;
    const peak = client * ROW + PEAK;
    if (peak >= this.#ofClients.length) this.#ofClients = widened(this.#ofClients, peak + 1);
    let rows = this.#ofClients;
    let row = key * ROW;
    if (key >= FIRST_KEY) {
      row = (key - FIRST_KEY) * ROW;
      if (row >= this.#ofKeys.length) this.#ofKeys = widened(this.#ofKeys, row + ROW);
      rows = this.#ofKeys;
    }
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
    if (needed > (this.#ofClients[peak] as number)) this.#ofClients[peak] = needed;
  }

  /** What each client needs, by its number; 0 for a client that the policy never counted. */
  peaks(): NumberedCounts {
    const peaks = new NumberedCounts();
    for (let client = 0; client * ROW < this.#ofClients.length; client++) {
      peaks.set(client, this.#ofClients[client * ROW + PEAK] as number);
    }
    return peaks;
  }
}

function widened(rows: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const wider = new Int32Array(Math.max(length, rows.length * 2));
  wider.set(rows);
  return wider;
}
