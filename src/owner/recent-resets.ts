/**
 * Which keys were reset lately, so that older leases on them end. After a reset the counters no
 * longer have a lease's units, which would then pass on top of a whole new quota.
 *
 * Bounded: once a reset is forgotten, every key is taken to have been reset at that time.
 */
import { first53Bits, type KeyHash } from "../ring/key-hash.ts";

const MAX_KEYS = 4_096;

export class RecentResets {
  /** When each key was reset last, by `first53Bits`, the oldest first; ms since the epoch. */
  readonly #atMs = new Map<number, number>();
  #forgottenMs = Number.NEGATIVE_INFINITY;

  /** Takes every key to have been reset at the owner's start, since it knows no earlier resets. */
  begin(nowMs: number): void {
    this.#forgottenMs = nowMs;
  }

  add(key: KeyHash, nowMs: number): void {
    const id = first53Bits(key);
    this.#atMs.delete(id);
    this.#atMs.set(id, nowMs);
    if (this.#atMs.size <= MAX_KEYS) return;
    const [oldest] = this.#atMs;
    if (!oldest) return;
    this.#atMs.delete(oldest[0]);
    this.#forgottenMs = oldest[1];
  }

  /** Returns true if the key may have been reset at `atMs` or later. */
  isSince(key: KeyHash, atMs: number): boolean {
    return atMs <= (this.#atMs.get(first53Bits(key)) ?? this.#forgottenMs);
  }
}
