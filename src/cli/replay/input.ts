/** Reads the files of a log, packed or not, and standard input, line by line. */
import { createReadStream, statSync } from "node:fs";
import { open } from "node:fs/promises";
import type { Readable, Transform } from "node:stream";
import * as zlib from "node:zlib";
import { named, UserError, whyFailed } from "../user-error.ts";

/** In chunks of an eighth, as Node reads them by default, it takes three times as long. */
const CHUNK_BYTES = 512 * 1024;
/** Of a longer line, the middle is dropped. */
const MAX_LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
/** Windows puts it in front of UTF-8. */
const BYTE_ORDER_MARK = Buffer.from("\ufeff");

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
    try {
      await splitLines(chunksOf(file, onRead), file, onLine);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throw new UserError(`${file}: ${whyFailed(error)}`);
    }
  }
}

/** Returns the first line of a file that is not blank; undefined for a pipe, which is read once. */
export async function firstLine(file: string): Promise<Buffer | undefined> {
  if (totalBytes([file]) === undefined) return undefined;
  try {
    // One chunk is enough, and stands only as long as no other is asked for.
    for await (const marked of chunksOf(file, () => {})) {
      const chunk = withoutMark(marked);
      const from = chunk.findIndex((byte) => byte !== NEWLINE && byte !== RETURN);
      if (from < 0) return undefined;
      const end = chunk.indexOf(NEWLINE, from);
      return Buffer.from(chunk.subarray(from, end < 0 ? chunk.length : end));
    }
  } catch (error) {
    // What is wrong with the file, `readLines` will say.
    if (!(error instanceof UserError) && !isSystemError(error)) throw error;
  }
  return undefined;
}

/** The size of all files on disk; undefined if one is a pipe. */
export function totalBytes(files: readonly string[]): number | undefined {
  let total = 0;
  for (const file of files) {
    if (file === STDIN) return undefined;
    const stats = named(file, () => statSync(file));
    if (stats.isDirectory()) throw new UserError(`${file} is a directory: name the files in it`);
    if (!stats.isFile()) return undefined;
    total += stats.size;
  }
  return total;
}

/** Returns what a file has, unpacked, in chunks that stand until the next is asked for. */
function chunksOf(file: string, onRead: (bytes: number) => void): AsyncIterable<Buffer> {
  if (file === STDIN && process.stdin.isTTY) {
    throw new UserError(
      "standard input is a terminal: send a log in, as by zcat log.gz | turnpike …",
    );
  }
  const unpack = unpacker(file);
  if (!unpack && file !== STDIN) return plainChunks(file, onRead);
  const source =
    file === STDIN ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES });
  source.on("data", (chunk: Buffer | string) => onRead(chunk.length));
  if (!unpack) return source;
  source.on("error", (error: Error) => unpack.destroy(error));
  unpack.on("close", () => source.destroy());
  return unpacked(source, unpack, file);
}

/** Node reads the first frame of Zstandard alone, and then ends, or fails behind the end. */
async function* unpacked(source: Readable, unpack: Transform & zlib.Zlib, file: string) {
  let bytes = 0;
  source.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  unpack.on("error", () => {});
  yield* source.pipe(unpack);
  if (isZstd(file) && unpack.bytesWritten < bytes) throw unreadZstd(file, "all of it");
}

/** A stream would make a new buffer for each chunk, and they pile up faster than they are let go. */
async function* plainChunks(file: string, onRead: (bytes: number) => void) {
  const handle = await open(file);
  let [now, next] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
  let reading = handle.read(now);
  try {
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) return;
      onRead(bytesRead);
      reading = handle.read(next);
      yield now.subarray(0, bytesRead);
      [now, next] = [next, now];
    }
  } finally {
    await reading.catch(() => {});
    await handle.close();
  }
}

function unpacker(file: string): (Transform & zlib.Zlib) | undefined {
  if (file.endsWith(".gz")) return zlib.createGunzip({ chunkSize: CHUNK_BYTES });
  if (!isZstd(file)) return undefined;
  // Since Node 22.15.
  if ("createZstdDecompress" in zlib) return zlib.createZstdDecompress({ chunkSize: CHUNK_BYTES });
  throw unreadZstd(file, "Zstandard");
}

function isZstd(file: string): boolean {
  return /\.zstd?$/.test(file);
}

function unreadZstd(file: string, what: string): UserError {
  return new UserError(
    `${file}: this Node cannot read ${what}: write zstd -dc ${file} | turnpike …`,
  );
}

async function splitLines(
  chunks: AsyncIterable<Buffer>,
  file: string,
  onLine: OnLine,
): Promise<void> {
  /** The line that the chunks before have begun. */
  let begun = Buffer.alloc(0);
  let isFirst = true;
  for await (const chunk of chunks) {
    const bytes = isFirst ? withoutMark(chunk) : chunk;
    if (isFirst && bytes.subarray(0, 8_192).includes(0)) {
      throw new UserError(
        file === STDIN
          ? "standard input is no text: send it in unpacked, as by zcat log.gz | turnpike …"
          : `${file} is no text: packed logs must end in .gz or .zst`,
      );
    }
    isFirst = false;
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from);
      if (end < 0) break;
      if (begun.length > 0) {
        begun = Buffer.concat([begun, bytes.subarray(from, end)]);
        pass(begun, 0, begun.length);
        begun = Buffer.alloc(0);
      } else pass(bytes, from, end);
      from = end + 1;
    }
    // Copied, so that the chunk can go.
    begun = Buffer.concat([begun, bytes.subarray(from)]);
    if (begun.length > MAX_LINE_BYTES) begun = begun.subarray(0, MAX_LINE_BYTES);
  }
  if (begun.length > 0) pass(begun, 0, begun.length);

  function pass(bytes: Buffer, from: number, end: number): void {
    onLine(bytes, from, end > from && bytes[end - 1] === RETURN ? end - 1 : end);
  }
}

function withoutMark(chunk: Buffer): Buffer {
  const { length } = BYTE_ORDER_MARK;
  return chunk.subarray(0, length).equals(BYTE_ORDER_MARK) ? chunk.subarray(length) : chunk;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error;
}
