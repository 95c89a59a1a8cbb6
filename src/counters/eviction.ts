/**
 * Which row a full owner evicts: the one that matters least.
 *
 * Approximate: the best of a sample. To keep rows in order would cost every check.
 */
import type { State } from "../limit/algorithm.ts";
import { isSameKey, type KeyHash } from "../ring/key-hash.ts";
import type { CounterTable } from "./counter-table.ts";

const SAMPLE_ROWS = 16;

/** A row that could be evicted. */
export interface Candidate {
  key: KeyHash;
  expiresAtMs: number;
  /** Whether its key is denied now. Such a row matters more than any whose key is not. */
  denied: boolean;
}

/**
 * Picks the row that expires first among the sampled rows whose key is not denied. If all are
 * denied, picks among all.
 *
 * @param near the key that came last: rows around it are sampled, and it is left out
 * @returns undefined if there is no other row
 */
export function evictionCandidate(
  table: CounterTable,
  near: KeyHash,
  denies: (state: State) => boolean,
): Candidate | undefined {
  let least: Candidate | undefined;
  let rows = 0;
  table.some(near, (key, state) => {
    if (isSameKey(key, near)) return false;
    const [expiresAtMs] = state;
    // Whether a key is denied takes longest to find out, and mostly does not matter.
    if (!least || least.denied || expiresAtMs < least.expiresAtMs) {
      const candidate = { key, expiresAtMs, denied: denies(state) };
      if (!least || isLess(candidate, least)) least = candidate;
    }
    return ++rows === SAMPLE_ROWS;
  });
  return least;
}

function isLess(one: Candidate, other: Candidate): boolean {
  if (one.denied !== other.denied) return other.denied;
  return one.expiresAtMs < other.expiresAtMs;
}
