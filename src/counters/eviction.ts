/**
 * Which row a full owner evicts: the one that matters least.
 *
 * Approximate: the best of a sample. To keep rows in order would cost every check.
 */
import type { State } from "../limit/algorithm.ts";
import { isSameKey, type KeyHash } from "../ring/key-hash.ts";
import type { CounterTable } from "./counter-table.ts";

const SAMPLE_ROWS = 16;

export type NamedTable = readonly [name: string, table: CounterTable];

/** A row's place: its table's name, and its key. */
export interface Place {
  table: string;
  key: KeyHash;
}

export interface Candidate extends Place {
  expiresAtMs: number;
  /** Whether its key is denied now. Such a row matters more than any whose key is not. */
  denied: boolean;
}

/**
 * Picks the row that expires first among the sampled rows whose key is not denied. If all are
 * denied, picks among all.
 *
 * @param tables where to sample; the next one only once the one before has no more rows
 * @param newest the row that came last: rows around its key are sampled, and it is left out
 * @returns undefined if there is no other row
 */
export function evictionCandidate(
  tables: readonly NamedTable[],
  newest: Place,
  denies: (table: NamedTable, state: State) => boolean,
): Candidate | undefined {
  let least: Candidate | undefined;
  let rows = 0;
  for (const named of tables) {
    const [name, table] = named;
    table.visit(newest.key, (key, state) => {
      if (name === newest.table && isSameKey(key, newest.key)) return false;
      const [expiresAtMs] = state;
      // Whether a key is denied takes longest to find out, and mostly does not matter.
      if (!least || least.denied || expiresAtMs < least.expiresAtMs) {
        const candidate = { table: name, key, expiresAtMs, denied: denies(named, state) };
        if (!least || isLess(candidate, least)) least = candidate;
      }
      return ++rows === SAMPLE_ROWS;
    });
    if (rows === SAMPLE_ROWS) break;
  }
  return least;
}

function isLess(one: Candidate, other: Candidate): boolean {
  if (one.denied !== other.denied) return other.denied;
  return one.expiresAtMs < other.expiresAtMs;
}
