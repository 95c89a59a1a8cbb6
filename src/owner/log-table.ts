/**
 * The counters of a policy whose states grow: an array for each key.
 *
 * For the algorithms that keep every entry. Heavier than the flat table, by about 100 bytes a key.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";

export class LogTable {
  readonly #states = new Map<string, { key: KeyHash; state: State }>();

  /** @param bytes what `toBytes` gave */
  constructor(bytes = new Uint8Array()) {
    const numbers = new Float64Array(bytes.slice().buffer);
    for (let at = 0; at < numbers.length; ) {
      const [hi = 0, lo = 0, length = 0] = numbers.subarray(at, at + 3);
      const state = Array.from(numbers.subarray(at + 3, at + 3 + length));
      this.set({ hi, lo }, state as unknown as State);
      at += 3 + length;
    }
  }

  get size(): number {
    return this.#states.size;
  }

  get(key: KeyHash): State | undefined {
    return this.#states.get(idOf(key))?.state;
  }

  set(key: KeyHash, state: State): void {
    this.#states.set(idOf(key), { key, state });
  }

  delete(key: KeyHash): void {
    this.#states.delete(idOf(key));
  }

  sweep(nowMs: number): void {
    for (const [id, { state }] of this.#states) if (state[0] <= nowMs) this.#states.delete(id);
  }

  lastExpiryMs(): number {
    let last = 0;
    for (const { state } of this.#states.values()) last = Math.max(last, state[0]);
    return last;
  }

  /** For each key: the hash's halves, how many numbers its state has, and these. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const rows = [...this.#states.values()];
    const numbers = rows.flatMap(({ key, state }) => [key.hi, key.lo, state.length, ...state]);
    return new Uint8Array(new Float64Array(numbers).buffer);
  }
}

function idOf({ hi, lo }: KeyHash): string {
  return `${hi}:${lo}`;
}
