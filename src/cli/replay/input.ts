/** Reads the files of a log, packed or not, and standard input, line by line. */
import { createReadStream, type ReadStream, statSync } from "node:fs";
import type { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { UserError } from "../user-error.ts";

const CHUNK_BYTES = 64 * 1024;
/** A line beyond this is dropped, and counts as unreadable. */
const MAX_LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Called for each line, which stands in `bytes` until the call returns. */
export type OnLine = (bytes: Buffer, from: number, to: number) => void;

/** Stands for standard input. */
export const STDIN = "-";

/**
 * Reads all files, in the order given.
 *
 * @param onRead called with the number of bytes that were read from disk since the last call
 * @throws {UserError} if a file cannot be read, or is no text
 */
export async function readLines(
  files: readonly string[],
  onLine: OnLine,
  onRead: (bytes: number) => void,
): Promise<void> {
  for (const file of files) {
    const source = file === STDIN ? process.stdin : opened(file);
    source.on("data", (chunk: Buffer | string) => onRead(chunk.length));
    try {
      await splitLines(unpacked(file, source), file, onLine);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throw new UserError(`${file}: ${whyUnread(error)}`);
    }
  }
}

/** Returns the first line of a file that is not blank; undefined for standard input. */
export async function firstLine(file: string): Promise<Buffer | undefined> {
  if (file === STDIN) return undefined;
  const source = opened(file);
  let first: Buffer | undefined;
  const found = new Error();
  try {
    await splitLines(unpacked(file, source), file, (bytes, from, to) => {
      if (from === to) return;
      first = Buffer.from(bytes.subarray(from, to));
      throw found;
    });
  } catch (error) {
    // What is wrong with the file, `readLines` will say.
    if (error !== found && !(error instanceof UserError) && !isSystemError(error)) throw error;
  }
  source.destroy();
  return first;
}

/** The size of all files on disk; undefined if one is a pipe. */
export function totalBytes(files: readonly string[]): number | undefined {
  let total = 0;
  for (const file of files) {
    if (file === STDIN) return undefined;
    let stats: ReturnType<typeof statSync>;
    try {
      stats = statSync(file);
    } catch (error) {
      throw new UserError(`${file}: ${whyUnread(error)}`);
    }
    if (stats.isDirectory()) throw new UserError(`${file} is a directory: name the files in it`);
    if (!stats.isFile()) return undefined;
    total += stats.size;
  }
  return total;
}

function opened(file: string): ReadStream {
  return createReadStream(file, { highWaterMark: CHUNK_BYTES });
}

function unpacked(file: string, source: Readable): Readable {
  const unpack = file.endsWith(".gz")
    ? zlib.createGunzip()
    : /\.zstd?$/.test(file)
      ? zstd(file)
      : undefined;
  if (!unpack) return source;
  source.on("error", (error) => unpack.destroy(error));
  return source.pipe(unpack);
}

function zstd(file: string) {
  // Since Node 22.15.
  if ("createZstdDecompress" in zlib) return zlib.createZstdDecompress();
  throw new UserError(
    `${file}: this Node cannot read Zstandard: write zstd -dc ${file} | turnpike …`,
  );
}

async function splitLines(source: Readable, file: string, onLine: OnLine): Promise<void> {
  let rest = Buffer.alloc(0);
  let isFirst = true;
  for await (const chunk of source) {
    const read = chunk as Buffer;
    if (isFirst && read.subarray(0, 8_192).includes(0)) {
      throw new UserError(`${file} is no text: packed logs must end in .gz or .zst`);
    }
    isFirst = false;
    const bytes = rest.length > 0 ? Buffer.concat([rest, read]) : read;
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from);
      if (end < 0) break;
      pass(bytes, from, end);
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > MAX_LINE_BYTES) rest = rest.subarray(0, MAX_LINE_BYTES);
  }
  if (rest.length > 0) pass(rest, 0, rest.length);

  function pass(bytes: Buffer, from: number, end: number): void {
    onLine(bytes, from, end > from && bytes[end - 1] === RETURN ? end - 1 : end);
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error;
}

function whyUnread(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return "is a directory: name the files in it";
  if (code === "EACCES") return "may not be read";
  if (code?.startsWith("Z_") || code?.startsWith("ZSTD"))
    return "is damaged, or not packed as its name says";
  return message;
}
