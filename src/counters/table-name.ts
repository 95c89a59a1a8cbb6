/** The names of tables: what each table holds, and how its rows are kept, follow from its name. */
import type { AlgorithmName } from "../limit/algorithms.ts";
import type { CounterPolicy } from "./check.ts";
import { CounterTable, type TableKind } from "./counter-table.ts";
import { FewRows, MAX_FEW_ROWS } from "./few-rows.ts";
import { FixedRows } from "./fixed-rows.ts";
import type { Segment } from "./segment.ts";
import { VariableRows } from "./variable-rows.ts";

/** The table of keys that operators have blocked. A state is the time when the block ends. */
export const BLOCKED = "blocked";
/** Tables of keys that policies have blocked; see `BlockState`. */
const BLOCKED_BY = "blocked-by";
/** Tables of limits that operators give single keys; see `overrides.ts`. */
const OVERRIDES = "overrides";
/** The table of answers to checks with a `requestId`; see `answers.ts`. */
export const ANSWERS = "answers";
/** Tables of holds; see `holds.ts`. */
const HOLDS = "holds";
// The next two names are on disk, and the second crosses between owners. So they stay as they are.
/** While a ring change settles: the keys that were imported from their previous owner. */
const IMPORTED = "taken";
/** Keys whose counts got lost, and when. */
export const INEXACT = "unsure";

type Kind = readonly [TableKind, stateNumbers: number];

/** What is in a table, and how many numbers each state has, by the first part of its name. */
const KINDS: Record<AlgorithmName, Kind> & Partial<Record<string, Kind>> = {
  "fixed-window": ["counter", 2],
  "sliding-window": ["counter", 3],
  "token-bucket": ["counter", 2],
  "leaky-bucket": ["counter", 2],
  "sliding-log": ["counter", 0],
  concurrency: ["counter", 0],
  [BLOCKED]: ["block", 1],
  [BLOCKED_BY]: ["block", 3],
  // 0, since older versions read a table that they do not know as rows of any length.
  [OVERRIDES]: ["override", 0],
  [ANSWERS]: ["answer", 0],
  [HOLDS]: ["hold", 0],
  [IMPORTED]: ["imported", 1],
  [INEXACT]: ["inexact", 2],
};

/** Rows of any length, as for a table of a later release. */
const OTHER: Kind = ["counter", 0];

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

/** Returns the name of the table of a policy's overrides. They outlast any change of its quota. */
export function overridesName({ name }: Pick<CounterPolicy, "name">): string {
  return `${OVERRIDES}/${name}`;
}

/** Returns the name of the table of holds whose units are counted in that table. */
export function holdsName(tableName: string): string {
  return `${HOLDS}/${tableName}`;
}

/** Returns the name of the table of keys imported from the ring of that version. */
export function importedName(version: number): string {
  return `${IMPORTED}/${version}`;
}

/** Returns the name of the policy that a table belongs to; another word if it belongs to none. */
export function policyNameOf(tableName: string): string {
  return tableName.slice(tableName.lastIndexOf("/") + 1);
}

/** Makes the table of that name. */
export function newTable(name: string): CounterTable {
  const [kind, stateNumbers] = kindOf(name);
  return new CounterTable(kind, newSegments(stateNumbers));
}

/** Returns true for tables of operators' blocks and overrides, which are never evicted. */
export function isOperators(tableName: string): boolean {
  return tableName === BLOCKED || kindOf(tableName)[0] === "override";
}

/** Makes a segment of the table of that name, with room for some rows. */
export function newSegment(name: string, rows: number): Segment {
  return newSegments(stateNumbersOf(name))(rows);
}

/** Returns how many numbers each state of a table has; 0 if that varies. */
export function stateNumbersOf(tableName: string): number {
  return kindOf(tableName)[1];
}

function kindOf(tableName: string): Kind {
  const end = tableName.indexOf("/");
  return KINDS[end < 0 ? tableName : tableName.slice(0, end)] ?? OTHER;
}

/** The functions that make segments, by the numbers in a state. All tables share them. */
const NEW_SEGMENT: ((rows: number) => Segment)[] = [() => new VariableRows()];

function newSegments(stateNumbers: number): (rows: number) => Segment {
  NEW_SEGMENT[stateNumbers] ??= (rows) =>
    rows > MAX_FEW_ROWS ? new FixedRows(stateNumbers, rows) : new FewRows(stateNumbers);
  return NEW_SEGMENT[stateNumbers];
}
