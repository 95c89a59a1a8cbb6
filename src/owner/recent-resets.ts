/**
 * Which keys were reset lately, so that older leases on them end. The counters no longer count a
 * lease's units after a reset. They would pass in addition to a whole new quota.
 *
 * Bounded. Before the oldest reset that is remembered, every key is taken to have been reset.
 */
import { first53Bits, type KeyHash } from "../ring/key-hash.ts";

const MAX_KEYS = 4_096;

export class RecentResets {
  /** When each key was reset last, by `first53Bits`, the oldest first; ms since the epoch. */
  readonly #atMs = new Map<number, number>();
  #forgottenMs = Number.NEGATIVE_INFINITY;

  /** To be called when an owner starts: it knows of no earlier reset. */
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

  /** May the key have been reset at that time or later? */
  isSince(key: KeyHash, atMs: number): boolean {
    return atMs <= (this.#atMs.get(first53Bits(key)) ?? this.#forgottenMs);
  }
}
