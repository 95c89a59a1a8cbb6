/** The names of tables, and how rows of each kind are kept. */
import type { CounterPolicy } from "./check.ts";
import { CounterTable } from "./counter-table.ts";
import { FixedRows } from "./fixed-rows.ts";
import type { Segment } from "./segment.ts";
import { VariableRows } from "./variable-rows.ts";

/** The table of keys that operators have blocked. A state is the time when the block ends. */
export const BLOCKED = "blocked";
/** Tables of keys that policies have blocked; see `BlockState`. */
const BLOCKED_BY = "blocked-by";
/** While a ring change settles: the keys whose counters their previous owner has given. */
const TAKEN = "taken";
/**
 * Keys whose counts got lost, and when. The name is on disk and crosses between owners, so it stays
 * as it once was.
 */
export const INEXACT = "unsure";

/** How many numbers a state has, in the tables where that is always the same. */
const STATE_NUMBERS: Partial<Record<string, number>> = {
  "fixed-window": 2,
  "sliding-window": 3,
  "token-bucket": 2,
  "leaky-bucket": 2,
  [BLOCKED]: 1,
  [BLOCKED_BY]: 3,
  [TAKEN]: 1,
  [INEXACT]: 2,
};

/**
 * Returns the name of a policy's table.
 *
 * A policy keeps its counts if its limit changes. If its algorithm or window changes, it starts
 * anew, since its old states would mean something else.
 */
export function tableName({ name, algorithm, windowMs }: CounterPolicy): string {
  return `${algorithm}/${windowMs}/${name}`;
}

/**
 * Returns the name of the table of keys that a policy has blocked. Blocks outlast any change of its
 * quota.
 */
export function blocksName({ name }: Pick<CounterPolicy, "name">): string {
  return `${BLOCKED_BY}/${name}`;
}

export function isBlocks(tableName: string): boolean {
  return tableName === BLOCKED || tableName.startsWith(`${BLOCKED_BY}/`);
}

/** Returns the name of the table of keys taken over from the ring of that version. */
export function takenName(version: number): string {
  return `${TAKEN}/${version}`;
}

export function isTaken(tableName: string): boolean {
  return tableName.startsWith(`${TAKEN}/`);
}

/**
 * Is the table about a ring change, and holds no counters? Its rows last as long as the longest
 * window.
 */
export function isMark(tableName: string): boolean {
  return isTaken(tableName) || tableName === INEXACT;
}

/**
 * Makes the table of that name.
 *
 * @param segments those of a table like it, in their order
 */
export function newTable(name: string, segments?: Segment[]): CounterTable {
  const stateNumbers = stateNumbersOf(name);
  const newSegment = (rows: number): Segment =>
    stateNumbers ? new FixedRows(stateNumbers, rows) : new VariableRows();
  return new CounterTable(newSegment, segments);
}

/**
 * Makes a segment of the table of that name.
 *
 * @param bytes what `toBytes` of such a segment gave
 */
export function readSegment(name: string, bytes: Uint8Array<ArrayBuffer>): Segment {
  const stateNumbers = stateNumbersOf(name);
  return stateNumbers ? FixedRows.fromBytes(stateNumbers, bytes) : new VariableRows(bytes);
}

function stateNumbersOf(tableName: string): number | undefined {
  const [kind = ""] = tableName.split("/");
  return STATE_NUMBERS[kind];
}
