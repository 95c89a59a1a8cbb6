/** Finds out which format a log has. */
import { UserError } from "../user-error.ts";
import type { Clients } from "./clients.ts";
import { combinedReader } from "./combined.ts";
import type { OnLine } from "./input.ts";
import { type FieldNames, jsonReader } from "./json-lines.ts";
import { type LineRead, type LineReader, NO_REQUEST } from "./record.ts";

/** The formats by name. The combined format is the common one with two fields more. */
export const FORMATS = ["vhost", "combined", "common", "json"] as const;
export type FormatName = (typeof FORMATS)[number];

/** Lines that are tried before a format is chosen. */
const SAMPLE_LINES = 50;
const MAX_SHOWN_CHARS = 60;

export interface FormatOptions {
  /** Default: found out by the first lines. */
  format?: FormatName | undefined;
  fields?: FieldNames | undefined;
  /** Whether the key of a policy may name another value than the address. */
  wantsValues: boolean;
}

function readerOf(name: FormatName, clients: Clients, options: FormatOptions): LineReader {
  if (name === "json") return jsonReader(clients, options.fields, options.wantsValues);
  return combinedReader(clients, name === "vhost", options.wantsValues);
}

/**
 * Returns a reader of lines in the format that fits most of the first ones. It holds the first lines
 * until there are enough of them; `end` decides with fewer.
 *
 * @param onLine called with what each line tells
 * @throws {UserError} from `line` and `end`, if no line could be read
 */
export function detectingReader(
  clients: Clients,
  options: FormatOptions,
  onLine: (read: LineRead) => void,
): { line: OnLine; end(): void } {
  const given = options.format ?? (options.fields && "json");
  let read = given && readerOf(given, clients, options);
  let sample: Buffer[] = [];
  return {
    line(bytes, from, to) {
      if (from === to) return;
      if (read) onLine(read(bytes, from, to));
      else {
        sample.push(Buffer.from(bytes.subarray(from, to)));
        if (sample.length >= SAMPLE_LINES) choose();
      }
    },
    end() {
      if (sample.length > 0) choose();
    },
  };

  function choose(): void {
    const best = FORMATS.map((name) => readerOf(name, clients, options))
      .map((reader) => ({ reader, fits: sample.filter((line) => isRead(reader, line)).length }))
      .reduce((best, next) => (next.fits > best.fits ? next : best));
    if (best.fits === 0) {
      const first = (sample[0] as Buffer).toString("utf8").slice(0, MAX_SHOWN_CHARS);
      throw new UserError(
        `no line is in a known format; the first is ${JSON.stringify(first)}. ` +
          `Write --format ${FORMATS.join(", ")}, or --fields ip=…,time=…,path=… for JSON`,
      );
    }
    read = best.reader;
    for (const line of sample) onLine(read(line, 0, line.length));
    sample = [];
  }
}

function isRead(reader: LineReader, line: Buffer): boolean {
  const read = reader(line, 0, line.length);
  return read !== undefined && read !== NO_REQUEST;
}
