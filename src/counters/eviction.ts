/**
 * Which row a full owner drops: the one that matters least.
 *
 * Approximate: the best of a sample, since to keep the rows in order would cost every check.
 */
import type { State } from "../limit/algorithm.ts";
import { isSameKey, type KeyHash } from "../ring/key-hash.ts";
import type { CounterTable } from "./counter-table.ts";

const SAMPLE_ROWS = 16;

/** A row that could be dropped. */
export interface Candidate {
  key: KeyHash;
  expiresAtMs: number;
  /** Whether its key is denied now; then it is worth more than any that is not. */
  denied: boolean;
}

/**
 * Picks the row that expires soonest among those of a sample whose key is not denied, or, where all
 * are, among all.
 *
 * @param near where to look: around the key that came last, which is itself left out
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
    // To find out whether it is denied takes longest, and mostly does not matter.
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
