/** The manifest of a checkpoint: which values belong to it, and in what order they came. */
import { MisuseError } from "../../limit/misuse.ts";
import { checksumOf } from "./checksum.ts";

const VERSION = 4;
/** Numbers in each part. */
const PART_NUMBERS = 3;

/** The storage key of the manifest. */
export const MANIFEST = "checkpoint";
/** Prefix of the storage keys of single counters that were written at once. */
export const JOURNAL = "journal/";

export interface Part {
  /** Number of the checkpoint that wrote it. */
  number: number;
  /** Length. */
  bytes: number;
  /** Its checksum. */
  sum: number;
}

/** Parts as numbers, one after the other: objects with names would take far longer to write. */
export interface TableParts {
  /** The table's segments, in order. */
  segments: number[];
  /** Rows that changed after their segment was written, the oldest first. */
  changes: number[];
}

export interface Manifest {
  /** The owner's clock when it was written, ms since the epoch. */
  clockMs: number;
  /** Number of this checkpoint: higher than that of the one before. */
  number: number;
  tables: Record<string, TableParts>;
}

export interface JournalEntry {
  table: string;
  hi: number;
  lo: number;
  /** Null if it was deleted. */
  state: number[] | null;
}

export function writeManifest(manifest: Manifest): unknown {
  return summed({ version: VERSION, ...manifest });
}

export function writeJournalEntry(entry: JournalEntry): unknown {
  return summed(entry);
}

/** @throws {MisuseError} if it is of another version, or not what was written */
export function readManifest(value: unknown): Manifest {
  const { version, ...manifest } = unsummed<Manifest & { version: number }>(value, MANIFEST);
  if (version === VERSION) return manifest;
  throw new MisuseError(`${MANIFEST}.version`, `must be ${VERSION}`, version);
}

/** @throws {MisuseError} if it is not the journal entry that was written */
export function readJournalEntry(key: string, value: unknown): JournalEntry {
  return unsummed(value, key);
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

/**
 * Returns what was written, without its sum.
 *
 * @throws {MisuseError} if the sum is wrong
 */
function unsummed<Written extends object>(value: unknown, at: string): Written {
  const { sum, ...written } = Object(value) as Written & { sum: unknown };
  const found = checksumOf(written);
  if (found !== sum) throw new MisuseError(at, `must have the checksum ${sum}`, found);
  return written as unknown as Written;
}
