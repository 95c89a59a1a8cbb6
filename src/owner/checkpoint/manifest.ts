/** What a checkpoint says of itself: which values belong to it, and in what order they came. */
import * as v from "valibot";
import { MisuseError, parse } from "../../limit/misuse.ts";
import { checksumOf } from "./checksum.ts";

const VERSION = 4;
/** Numbers that a part takes. */
const PART_NUMBERS = 3;

/** The storage key of the manifest. */
export const MANIFEST = "checkpoint";
/** Before the storage keys of single counters that were written at once. */
export const JOURNAL = "journal/";

const numberSchema = v.pipe(v.number("must be a number"), v.minValue(0, "must not be negative"));

/** The numbers of each part, one after the other: by name they would take far longer to write. */
const partsSchema = v.array(numberSchema, "must be a list");

const tableSchema = v.strictObject({
  /** The table's segments, in order. */
  segments: v.pipe(partsSchema, v.minLength(1, "must not be empty")),
  /** Rows that changed after their segment was written, the oldest first. */
  changes: partsSchema,
});

const manifestSchema = v.strictObject({
  version: v.literal(VERSION, `must be ${VERSION}`),
  /** The owner's clock when it was written, ms since the epoch. */
  clockMs: numberSchema,
  /** Number of this checkpoint; each is one above the one before. */
  number: numberSchema,
  tables: v.record(v.string(), tableSchema),
  /** The checksum of all else here. */
  sum: numberSchema,
});

const journalSchema = v.strictObject({
  table: v.string("must be text"),
  hi: numberSchema,
  lo: numberSchema,
  /** Null where it was deleted. */
  state: v.nullable(v.array(numberSchema, "must be a list")),
  /** The checksum of all else here. */
  sum: numberSchema,
});

export interface Part {
  /** Number of the checkpoint that wrote it. */
  number: number;
  /** Length. */
  bytes: number;
  /** Its checksum. */
  sum: number;
}
export type TableParts = v.InferOutput<typeof tableSchema>;
export type Manifest = Omit<v.InferOutput<typeof manifestSchema>, "version" | "sum">;
export type JournalEntry = Omit<v.InferOutput<typeof journalSchema>, "sum">;

export function writeManifest(manifest: Manifest): unknown {
  return summed({ version: VERSION, ...manifest });
}

export function writeJournalEntry(entry: JournalEntry): unknown {
  return summed(entry);
}

/** @throws {MisuseError} if it is no manifest, of another version, or not what was written */
export function readManifest(value: unknown): Manifest {
  const manifest = parse(manifestSchema, value, MANIFEST);
  requireSum(value, MANIFEST);
  return manifest;
}

/** @throws {MisuseError} if it is no entry of the journal, or not the one that was written */
export function readJournalEntry(key: string, value: unknown): JournalEntry {
  const entry = parse(journalSchema, value, key);
  requireSum(value, key);
  return entry;
}

export function numbersOf(parts: readonly Part[]): number[] {
  return parts.flatMap(({ number, bytes, sum }) => [number, bytes, sum]);
}

export function partsOf(numbers: readonly number[]): Part[] {
  return Array.from({ length: numbers.length / PART_NUMBERS }, (_, at) => {
    const [number = 0, bytes = 0, sum = 0] = numbers.slice(
      at * PART_NUMBERS,
      (at + 1) * PART_NUMBERS,
    );
    return { number, bytes, sum };
  });
}

export function segmentKey(table: string, index: number): string {
  return `${MANIFEST}/${table}/segment/${index}`;
}

export function changesKey(table: string, number: number): string {
  return `${MANIFEST}/${table}/changes/${number}`;
}

function summed(value: object): object {
  return { ...value, sum: checksumOf(value) };
}

/** @throws {MisuseError} if it does not have the sum that it says */
function requireSum(value: unknown, at: string): void {
  const { sum, ...rest } = value as { sum: number };
  const found = checksumOf(rest);
  if (found !== sum) throw new MisuseError(at, `must have the checksum ${sum}`, found);
}
