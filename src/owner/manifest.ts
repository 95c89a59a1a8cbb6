/** What a checkpoint says of itself: which values belong to it, and in what order they came. */
import * as v from "valibot";
import { parse } from "../limit/misuse.ts";

const VERSION = 2;

/** The storage key of the manifest. */
export const MANIFEST = "checkpoint";
/** Before the storage keys of single counters that were written at once. */
export const JOURNAL = "journal/";

const numberSchema = v.pipe(v.number("must be a number"), v.minValue(0, "must not be negative"));

const partSchema = v.strictObject({
  /** Number of the checkpoint that it was written with. */
  number: numberSchema,
  /** Length. */
  bytes: numberSchema,
});

const tableSchema = v.strictObject({
  /** The table's segments, in order. */
  segments: v.pipe(v.array(partSchema, "must be a list"), v.minLength(1, "must not be empty")),
  /** Rows that changed after their segment was written, the oldest first. */
  changes: v.array(partSchema, "must be a list"),
});

const manifestSchema = v.strictObject({
  version: v.literal(VERSION, `must be ${VERSION}`),
  /** The owner's clock when it was written, ms since the epoch. */
  clockMs: numberSchema,
  /** Number of this checkpoint; each is one above the one before. */
  number: numberSchema,
  tables: v.record(v.string(), tableSchema),
});

const journalSchema = v.strictObject({
  table: v.string("must be text"),
  hi: numberSchema,
  lo: numberSchema,
  /** Null where it was deleted. */
  state: v.nullable(v.array(numberSchema, "must be a list")),
});

export type Part = v.InferOutput<typeof partSchema>;
export type TableParts = v.InferOutput<typeof tableSchema>;
export type Manifest = Omit<v.InferOutput<typeof manifestSchema>, "version">;
export type JournalEntry = v.InferOutput<typeof journalSchema>;

export function writeManifest(manifest: Manifest): unknown {
  return { version: VERSION, ...manifest };
}

/** @throws {MisuseError} if it is no manifest, or of another version */
export function readManifest(value: unknown): Manifest {
  return parse(manifestSchema, value, MANIFEST);
}

/** @throws {MisuseError} if it is no entry of the journal */
export function readJournalEntry(key: string, value: unknown): JournalEntry {
  return parse(journalSchema, value, key);
}

export function segmentKey(table: string, index: number): string {
  return `${MANIFEST}/${table}/segment/${index}`;
}

export function changesKey(table: string, number: number): string {
  return `${MANIFEST}/${table}/changes/${number}`;
}
