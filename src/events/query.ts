/** The queries of readers of events, and how they are checked. */
import * as v from "valibot";
import { durationSchema, formatDuration } from "../limit/duration.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import { oneOf, wholeNumber } from "../limit/schemas.ts";
import { HOUR, LEVELS, type Level } from "./level.ts";
import type { Bins } from "./rpc.ts";
import { dimensionsSchema, MAX_DIMENSIONS, nameSchema } from "./tuple.ts";

/** The most entries of a top list. */
const MAX_TOP = 10_000;
/** Later than any time. */
const NEVER_MS = 8.64e15;

const timeRule = "must be a time such as 2026-11-01T00:00:00Z, or milliseconds since the epoch";
const timeSchema = v.pipe(
  v.union([v.number(), v.string(), v.date()], timeRule),
  v.check((time) => Number.isFinite(msOf(time)), timeRule),
  v.transform(msOf),
);

function msOf(time: number | string | Date): number {
  return new Date(isDigits(time) ? Number(time) : time).getTime();
}

/** Returns true for a number as text, such as in a query string. */
function isDigits(value: unknown): boolean {
  return typeof value === "string" && /^\d+$/.test(value);
}

const rangeFields = {
  /** How far back from now: `"1s"` to `"400d"`. Default `"1h"`, unless `from` is given. */
  last: v.optional(durationSchema(1_000, HOUR.keptMs)),
  /** When the range begins: a date, ISO 8601 text or ms since the epoch. Not beside `last`. */
  from: v.optional(timeSchema),
  /** When the range ends, in the same forms. Default now. */
  to: v.optional(timeSchema),
  /** Length of a bin. Default the finest that is kept for as long as the range goes back. */
  step: v.optional(oneOf(LEVELS.map(({ name }) => name))),
};

const objectRule = "must be an object";

const countSchema = v.pipe(
  v.unknown(),
  v.transform((value) => (isDigits(value) ? Number(value) : value)),
  wholeNumber(1, MAX_TOP),
);
const byRule = `must be a list of 0 to ${MAX_DIMENSIONS} names of dimensions`;
const bySchema = v.pipe(
  v.array(nameSchema, byRule),
  v.maxLength(MAX_DIMENSIONS, byRule),
  // A dimension that is named twice counts once.
  v.transform((by) => [...new Set(by)]),
);
export const topSchema = v.strictObject(
  {
    name: nameSchema,
    by: v.optional(bySchema, []),
    n: v.optional(countSchema, 10),
    ...rangeFields,
  },
  objectRule,
);
export const seriesSchema = v.strictObject(
  { name: nameSchema, filter: v.optional(dimensionsSchema, {}), ...rangeFields },
  objectRule,
);
export const distinctSchema = v.strictObject(
  { name: nameSchema, dimension: nameSchema, ...rangeFields },
  objectRule,
);

type RangeInput = v.InferInput<v.StrictObjectSchema<typeof rangeFields, undefined>>;
/** A span of time: the `last` one, or `from` a time `to` another. Default the last hour, to now. */
export type Range = RangeInput;
type RangeOutput = v.InferOutput<v.StrictObjectSchema<typeof rangeFields, undefined>>;

/**
 * Reads a query, and finds the bins to read.
 *
 * @throws {MisuseError} naming the field, the rule and the value
 */
export function readQuery<const Schema extends v.GenericSchema<unknown, RangeOutput>>(
  schema: Schema,
  query: unknown,
  nowMs: number,
): { query: v.InferOutput<Schema>; level: Level; bins: Bins } {
  const read = parse(schema, query);
  const { last, from, to, step } = read;
  const misuse = (field: string, rule: string) =>
    new MisuseError(field, rule, Reflect.get(Object(query), field));
  if (last !== undefined && from !== undefined) {
    throw misuse("last", 'must be left out where "from" is given');
  }
  const fromMs = from ?? nowMs - (last ?? HOUR.ms);
  const toMs = to ?? NEVER_MS;
  if (toMs <= fromMs) throw misuse("to", "must be later than the beginning");
  const isKept = ({ keptMs }: Level) => nowMs - fromMs <= keptMs;
  const named = step && LEVELS.find(({ name }) => name === step);
  const level = named ?? LEVELS.find(isKept) ?? HOUR;
  if (!isKept(level)) {
    const rule = `must be at most ${formatDuration(level.keptMs)} ago for the step ${level.name}`;
    throw misuse(from === undefined ? "last" : "from", rule);
  }
  return { query: read, level, bins: { level: level.name, fromMs, toMs } };
}
