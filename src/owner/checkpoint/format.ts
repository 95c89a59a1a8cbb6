/**
 * The bytes of what is on disk, version 5: the head and log entries.
 *
 * Each value begins with its checksum, the version, and the sequence number it was written at.
 * Log entries hold sections, each with rows of one table. A damaged value reads as undefined, so it
 * costs only itself.
 */
import { isOperators } from "../../counters/table-name.ts";
import { InvalidError } from "../../limit/misuse.ts";

export const VERSION = 5;
/** Storage key of the head. */
export const HEAD = "head";
/** Storage key of the crash mark, which is there while changes may be in memory alone. */
export const CRASH_MARK = "open";
/** Prefix of the storage keys of log entries. */
export const LOG = "log/";
/** Index of a section whose rows have changed. */
export const CHANGED = 0;
/** Index of a section without rows: its table was dropped before the other rows were set. */
export const DROPPED = 1;
/** Index of a section that has all rows of a segment; the segment's own index is added. */
export const COPIED = 2;

/** Checksum and version as words, then the sequence. */
const FRAME_BYTES = 16;
/** Length of the name and of the rows in bytes, index and count, as words. */
const SECTION_BYTES = 16;
/** A value with that many bytes gets no more sections. The storage allows 2 MB. */
const VALUE_BYTES = 500_000;
const WORD_BYTES = Uint32Array.BYTES_PER_ELEMENT;
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT;
const SEQUENCE_DIGITS = 16;
/** The most bytes that a character of a name takes. */
const MOST_CHAR_BYTES = 3;
const ENCODER = new TextEncoder();
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Rows of one table, as a `RowWriter` writes them. */
export interface Section {
  table: string;
  /** `CHANGED`, `DROPPED`, or `COPIED` and which of the table's segments it is. */
  index: number;
  /** Of a copied segment: how many segments the table had. */
  count: number;
  rows: Uint8Array<ArrayBuffer>;
}

/** A value of the log. An entry has one, or several. */
export interface Value {
  sequence: number;
  sections: Section[];
}

/** What the head is before the first checkpoint. */
export const NEW_HEAD = {
  /** The owner's clock, ms since the epoch. */
  clockMs: 0,
  /** The last sequence in use. */
  sequence: 0,
  /** How many pages there are, which only earlier releases wrote; see `pages.ts`. */
  pages: 0,
  /** Sequence of the oldest log value that is needed. */
  oldestLog: 0,
  /** How many log values there are from there on. */
  logs: 0,
  /** When counts were lost last by the owner's clock, ms since the epoch; 0 if never. */
  lostMs: 0,
  /** When counts of policies that are not durable were lost last; 0 if never. */
  crashedMs: 0,
  /**
   * The checksums of those log values, all xored, which finds one that an earlier one has replaced.
   * 0 if not known: earlier releases write none.
   */
  sums: 0,
};

export type Head = typeof NEW_HEAD;

/** Returns the storage key of a log value. The storage lists them in the order of `sequence`. */
export function logKey(sequence: number): string {
  return `${LOG}${String(sequence).padStart(SEQUENCE_DIGITS, "0")}`;
}

export function encodeHead(head: Head): Uint8Array<ArrayBuffer> {
  const numbers = HEAD_FIELDS.map((field) => head[field]);
  const bytes = new Uint8Array(FRAME_BYTES + numbers.length * NUMBER_BYTES);
  new Float64Array(bytes.buffer).set(numbers, FRAME_BYTES / NUMBER_BYTES);
  return framed(head.sequence, bytes);
}

/**
 * @returns undefined if it is damaged
 * @throws {InvalidError} if it is of another version
 */
export function decodeHead(value: unknown): Head | undefined {
  const frame = unframed(value);
  if (!frame) return undefined;
  const { version, bytes } = frame;
  if (version !== VERSION) throw new InvalidError(HEAD, `must be of version ${VERSION}`, version);
  const numbers = new Float64Array(bytes.buffer, bytes.byteOffset + FRAME_BYTES);
  const head = { ...NEW_HEAD };
  for (const [at, field] of HEAD_FIELDS.entries()) head[field] = numbers[at] ?? 0;
  return head;
}

export function encodeSections({ sequence, sections }: Value): Uint8Array<ArrayBuffer> {
  const lengths = sections.map(
    ({ table, rows }) => SECTION_BYTES + padded(MOST_CHAR_BYTES * table.length) + rows.length,
  );
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, FRAME_BYTES));
  const words = new Uint32Array(bytes.buffer);
  let at = FRAME_BYTES;
  for (const { table, index, count, rows } of sections) {
    const word = at / WORD_BYTES;
    at += SECTION_BYTES;
    const { written: nameBytes } = ENCODER.encodeInto(table, bytes.subarray(at));
    words[word] = nameBytes;
    words[word + 1] = rows.length;
    words[word + 2] = index;
    words[word + 3] = count;
    at += padded(nameBytes);
    bytes.set(rows, at);
    at += rows.length;
  }
  return framed(sequence, bytes.slice(0, at));
}

/** Returns the checksum that a value begins with. */
export function sumOf({ buffer, byteOffset }: Uint8Array<ArrayBuffer>): number {
  return new DataView(buffer, byteOffset).getUint32(0, true);
}

/** Returns about the bytes that a section takes in a value. Most of a small one is the name. */
export function bytesOf({ table, rows }: Section): number {
  return SECTION_BYTES + table.length + rows.length;
}

/**
 * Distributes the sections of a log entry over values. What operators set has values of its own, so
 * that it does not get lost with a damaged count.
 */
export function split(sections: readonly Section[]): Section[][] {
  const parts: Section[][] = [];
  for (const isOf of [true, false]) {
    let bytes = VALUE_BYTES;
    for (const section of sections) {
      if (isOperators(section.table) !== isOf) continue;
      if (bytes >= VALUE_BYTES) {
        parts.push([]);
        bytes = 0;
      }
      parts.at(-1)?.push(section);
      bytes += bytesOf(section);
    }
  }
  return parts;
}

/** Returns undefined if it is damaged or of another version. */
export function decodeSections(value: unknown): Value | undefined {
  const frame = unframed(value);
  if (frame?.version !== VERSION) return undefined;
  const { bytes, sequence } = frame;
  const sections: Section[] = [];
  for (let at = FRAME_BYTES; at < bytes.length; ) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, 4);
    const [nameBytes = 0, rowsBytes = 0, index = 0, count = 0] = words;
    at += SECTION_BYTES;
    const table = new TextDecoder().decode(bytes.subarray(at, at + nameBytes));
    at += padded(nameBytes);
    sections.push({ table, index, count, rows: bytes.subarray(at, at + rowsBytes) });
    at += rowsBytes;
  }
  return { sequence, sections };
}

const HEAD_FIELDS = Object.keys(NEW_HEAD) as (keyof Head)[];

/** Writes the frame before what follows it. */
function framed(sequence: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(bytes.buffer);
  words[1] = VERSION;
  new Float64Array(bytes.buffer)[1] = sequence;
  words[0] = checksum(bytes.subarray(WORD_BYTES));
  return bytes;
}

function unframed(
  value: unknown,
): { version: number; sequence: number; bytes: Uint8Array<ArrayBuffer> } | undefined {
  if (!(value instanceof Uint8Array) || value.length < FRAME_BYTES) return undefined;
  if (value.length % NUMBER_BYTES !== 0) return undefined;
  // Rows are read as numbers, which must be aligned in their buffer.
  const isAligned = value.byteOffset % NUMBER_BYTES === 0;
  const bytes = (isAligned ? value : value.slice()) as Uint8Array<ArrayBuffer>;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 2);
  const [sum, version = 0] = words;
  if (checksum(bytes.subarray(WORD_BYTES)) !== sum) return undefined;
  const [sequence = 0] = new Float64Array(bytes.buffer, bytes.byteOffset + NUMBER_BYTES, 1);
  return { version, sequence, bytes };
}

function padded(length: number): number {
  return Math.ceil(length / NUMBER_BYTES) * NUMBER_BYTES;
}

/**
 * A checksum of what is on disk: FNV-1a by 32-bit words. A checkpoint holds up checks while it is
 * summed, so it has to be fast.
 *
 * Any one word that differs changes the sum for sure; several words change it all but once in 2^32.
 * It finds accidents: an attacker with access to the storage can also write a sum.
 *
 * @param bytes aligned to whole words in their buffer
 * @returns an unsigned 32-bit number
 */
export function checksum({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): number {
  const words = new Uint32Array(buffer, byteOffset, length >>> 2);
  let sum = FNV_OFFSET ^ length;
  // By index: an iterator takes seven times as long.
  for (let at = 0; at < words.length; at++) sum = Math.imul(sum ^ (words[at] as number), FNV_PRIME);
  for (const byte of new Uint8Array(buffer, byteOffset + words.byteLength, length & 3)) {
    sum = Math.imul(sum ^ byte, FNV_PRIME);
  }
  return sum >>> 0;
}
