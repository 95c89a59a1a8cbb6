/**
 * A policy's own blocks: a key that is denied once stays denied, and longer each time it is denied
 * again too soon.
 *
 * A block ends no earlier than the wait that the denial told, so a client that waits as told
 * passes. (Not under `concurrency`, where a slot is free sooner.) Requests during a block change
 * nothing. Its weakness: clients that share a key share its block. So one client behind an address
 * can have all others there blocked for as long as `max` says.
 */
import * as v from "valibot";
import { MAX_WINDOW_MS, type State } from "./algorithm.ts";
import { durationSchema, formatDuration } from "./duration.ts";
import { fieldPath, MisuseError } from "./misuse.ts";
import { either, isTable } from "./schemas.ts";

const MIN_BLOCK_MS = 1_000;
const DEFAULT_MAX_MS = 86_400_000;
/**
 * How long a key is remembered after a block, in lengths of that block. A key that is denied again
 * within that time is a repeater.
 */
const MEMORY_LENGTHS = 2;
/** How much longer a repeater's next block is. */
const GROWTH = 2;

export interface BlockFor {
  /** Length of a key's first block. */
  firstMs: number;
  /** The longest that a repeater's block gets. */
  maxMs: number;
}

/** When a block is forgotten and when it ends, both ms since the epoch, and its length in ms. */
export type BlockState = readonly [expiresAtMs: number, untilMs: number, lengthMs: number];

const blockDurationSchema = durationSchema(MIN_BLOCK_MS, MAX_WINDOW_MS);

const tableSchema = v.strictObject({
  first: blockDurationSchema,
  max: v.optional(blockDurationSchema),
});

/** A block's length as a person writes it, from `"1s"` to `"366d"`. */
export const blockForSchema = either(isTable, tableSchema, blockDurationSchema);

type TableFields = v.InferOutput<typeof tableSchema>;

/** Fills in the defaults. @throws {MisuseError} if the longest block is shorter than the first */
export function readBlockFor(given: number | TableFields, at: string): BlockFor {
  const { first: firstMs, max } = typeof given === "number" ? { first: given } : given;
  const maxMs = max ?? Math.max(firstMs, DEFAULT_MAX_MS);
  if (maxMs >= firstMs) return { firstMs, maxMs };
  const rule = "must be at least as long as first";
  throw new MisuseError(fieldPath(at, "max"), rule, formatDuration(maxMs));
}

/** Returns how long a block still lasts, in milliseconds; 0 without a block. */
export function blockLeftMs(state: State | undefined, nowMs: number): number {
  return Math.max(0, (state?.[1] ?? 0) - nowMs);
}

/**
 * Returns the block of a key that is denied now and was not blocked.
 *
 * @param retryAfterMs the wait that the denial tells
 */
export function nextBlock(
  before: State | undefined,
  { firstMs, maxMs }: BlockFor,
  nowMs: number,
  retryAfterMs: number,
): BlockState {
  const isRepeater = before !== undefined && nowMs < before[0];
  const longerMs = isRepeater ? GROWTH * (before[2] as number) : 0;
  const lengthMs = Math.min(maxMs, Math.max(firstMs, longerMs));
  const untilMs = nowMs + Math.max(lengthMs, retryAfterMs);
  return [untilMs + MEMORY_LENGTHS * lengthMs, untilMs, lengthMs];
}
