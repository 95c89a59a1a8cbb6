/**
 * Which row a full owner evicts: the one that matters least.
 *
 * Approximate: it picks the best of a sample. Keeping rows in order would slow down every check.
 */
import type { State } from "../limit/algorithm.ts";
import { isSameKey, type KeyHash } from "../ring/key-hash.ts";
import type { CounterTable } from "./counter-table.ts";

const SAMPLE_ROWS = 16;
/**
 * If all of these are denied, more rows are sampled, until their states have that many numbers: 256
 * rows of a fixed window.
 */
const SAMPLE_DENIED_NUMBERS = 512;

export type NamedTable = readonly [name: string, table: CounterTable];

/** Which row: its table's name, and its key. */
export interface RowId {
  table: string;
  key: KeyHash;
}

export interface Candidate extends RowId {
  expiresAtMs: number;
  /** Whether its key is denied now. Such a row matters more than any row of another key. */
  denied: boolean;
}

/**
 * Picks the row that expires first among the sampled rows whose key is not denied. If all are
 * denied, picks among all.
 *
 * @param tables where to sample; a table is used only if those before it have too few rows
 * @param newest the row that was set last: it is left out, and rows around its key are sampled
 * @returns undefined if there is no other row
 */
export function evictionCandidate(
  tables: readonly NamedTable[],
  newest: RowId,
  denies: (table: NamedTable, state: State) => boolean,
): Candidate | undefined {
  let least: Candidate | undefined;
  let rows = 0;
  let numbers = 0;
  const isEnough = () => rows >= SAMPLE_ROWS && !(least?.denied && numbers < SAMPLE_DENIED_NUMBERS);
  for (const named of tables) {
    const [name, table] = named;
    table.visit(newest.key, (key, state) => {
      if (name === newest.table && isSameKey(key, newest.key)) return false;
      const [expiresAtMs] = state;
      // `denies` takes longest, and is mostly not needed.
      if (!least || least.denied || expiresAtMs < least.expiresAtMs) {
        const candidate = { table: name, key, expiresAtMs, denied: denies(named, state) };
        if (!least || isLess(candidate, least)) least = candidate;
      }
      rows++;
      numbers += state.length;
      return isEnough();
    });
    if (isEnough()) break;
  }
  return least;
}

function isLess(one: Candidate, other: Candidate): boolean {
  if (one.denied !== other.denied) return other.denied;
  return one.expiresAtMs < other.expiresAtMs;
}
