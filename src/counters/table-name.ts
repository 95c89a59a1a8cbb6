/** Which table holds what, and of what kind it is. */
import type { CounterPolicy } from "./check.ts";
import { CounterTable } from "./counter-table.ts";
import { FixedRows } from "./fixed-rows.ts";
import type { Segment } from "./segment.ts";
import { VariableRows } from "./variable-rows.ts";

/** The table of blocked keys, whose states are the time when the block ends. */
export const BLOCKED = "blocked";
/** Keys that policies have blocked by themselves; see `BlockState`. */
const BLOCKED_BY = "blocked-by";
/** While a ring change settles: the keys whose counters their owner before has given. */
const TAKEN = "taken";
/** Keys whose counters were not handed over, and since when they are counted anew. */
export const UNSURE = "unsure";

/** How many numbers a state has, where it is always as many. */
const STATE_NUMBERS: Partial<Record<string, number>> = {
  "fixed-window": 2,
  "sliding-window": 3,
  "token-bucket": 2,
  "leaky-bucket": 2,
  [BLOCKED]: 1,
  [BLOCKED_BY]: 3,
  [TAKEN]: 1,
  [UNSURE]: 2,
};

/**
 * A policy whose limit changes goes on with what is counted; one whose algorithm or window changes
 * starts anew, since its old state would mean something else.
 */
export function tableName({ name, algorithm, windowMs }: CounterPolicy): string {
  return `${algorithm}/${windowMs}/${name}`;
}

/** The table of the keys that a policy has blocked, which last over any change of its quota. */
export function blocksName({ name }: Pick<CounterPolicy, "name">): string {
  return `${BLOCKED_BY}/${name}`;
}

export function isBlocks(tableName: string): boolean {
  return tableName === BLOCKED || tableName.startsWith(`${BLOCKED_BY}/`);
}

/** The table of the keys taken over from the ring of that version. */
export function takenName(version: number): string {
  return `${TAKEN}/${version}`;
}

export function isTaken(tableName: string): boolean {
  return tableName.startsWith(`${TAKEN}/`);
}

/** Is it about a change of the ring, and no counter? Such rows last as long as the longest window. */
export function isMark(tableName: string): boolean {
  return isTaken(tableName) || tableName === UNSURE;
}

/**
 * Makes the table that a name asks for.
 *
 * @param segments those of one like it, in their order
 */
export function newTable(name: string, segments?: Segment[]): CounterTable {
  const stateNumbers = stateNumbersOf(name);
  const newSegment = (rows: number): Segment =>
    stateNumbers ? new FixedRows(stateNumbers, rows) : new VariableRows();
  return new CounterTable(newSegment, segments);
}

/**
 * Makes a segment of the table that a name asks for.
 *
 * @param bytes what another gave
 * @throws {MisuseError} if they can't be that
 */
export function readSegment(name: string, bytes: Uint8Array<ArrayBuffer>): Segment {
  const stateNumbers = stateNumbersOf(name);
  return stateNumbers ? FixedRows.fromBytes(stateNumbers, bytes) : new VariableRows(bytes);
}

function stateNumbersOf(tableName: string): number | undefined {
  const [kind = ""] = tableName.split("/");
  return STATE_NUMBERS[kind];
}
