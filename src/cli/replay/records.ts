/** The requests of a log, in order of time. */
import { count } from "../text.ts";
import { UserError } from "../user-error.ts";
import type { Clients } from "./clients.ts";
import { InOrder } from "./in-order.ts";
import { firstLine, readLines, STDIN } from "./input.ts";
import { detectingReader, type FormatOptions } from "./log-format.ts";
import { type LogRecord, NO_REQUEST } from "./record.ts";

/** What was read. */
export interface Lines {
  read: number;
  /** Lines in no known form. */
  unreadable: number;
  /** Lines that are no request of a client. */
  skipped: number;
  /** Requests that stood more than a minute too late in the log. */
  late: number;
  /** Times of the first and the last request, in RFC 3339. */
  from: string;
  to: string;
}

export interface ReadOptions extends FormatOptions {
  /** Called with the bytes read since the last call. */
  onRead: (bytes: number) => void;
}

/**
 * Reads the files in order of their first requests, so that the order of their names does not matter.
 *
 * @param take called with each request, at times that never go back
 * @throws {UserError} if a file cannot be read, or has no request
 */
export async function readRecords(
  files: readonly string[],
  clients: Clients,
  options: ReadOptions,
  take: (record: LogRecord) => void,
): Promise<Lines> {
  const twice = files.find((file, at) => files.indexOf(file) < at);
  if (twice !== undefined) throw new UserError(`${twice} is named twice: each file counts once`);
  const lines: Lines = { read: 0, unreadable: 0, skipped: 0, late: 0, from: "", to: "" };
  let fromMs = Number.NaN;
  let toMs = Number.NaN;
  const sorted = new InOrder((record) => {
    if (Number.isNaN(fromMs)) fromMs = record.atMs;
    toMs = record.atMs;
    take(record);
  });
  const reader = detectingReader(clients, options, (read) => {
    lines.read++;
    if (read === undefined) lines.unreadable++;
    else if (read === NO_REQUEST) lines.skipped++;
    else sorted.add(read);
  });
  const inOrder = files.length > 1 ? await byFirstRequest(files, clients, options) : files;
  await readLines(inOrder, (bytes, from, to) => reader.line(bytes, from, to), options.onRead);
  reader.end();
  sorted.end();
  if (Number.isNaN(fromMs)) {
    const isTold = options.format !== undefined || options.fields !== undefined;
    const doubt = isTold && lines.unreadable > 0 ? ": are --format and --fields right?" : "";
    throw new UserError(whyNothing(files, lines) + doubt);
  }
  lines.late = sorted.late;
  lines.from = new Date(fromMs).toISOString();
  lines.to = new Date(toMs).toISOString();
  return lines;
}

async function byFirstRequest(
  files: readonly string[],
  clients: Clients,
  options: FormatOptions,
): Promise<string[]> {
  const dated: { file: string; atMs: number }[] = [];
  for (const file of files) {
    let atMs = Number.POSITIVE_INFINITY;
    const line = await firstLine(file);
    const reader = detectingReader(clients, options, (read) => {
      if (read !== undefined && read !== NO_REQUEST) atMs = read.atMs;
    });
    try {
      if (line) reader.line(line, 0, line.length);
      reader.end();
    } catch (error) {
      // Another line of the file may be readable.
      if (!(error instanceof UserError)) throw error;
    }
    dated.push({ file, atMs });
  }
  return dated.sort((one, other) => one.atMs - other.atMs).map(({ file }) => file);
}

function whyNothing(files: readonly string[], { read, unreadable }: Lines): string {
  const [file] = files;
  const one = file === STDIN ? "standard input" : file;
  const where = files.length === 1 ? one : `${files.length} files`;
  if (read === 0) return `${where}: no line in it`;
  return `${where}: no request in ${count(read, "line")}; ${unreadable} cannot be read`;
}
