/** Finds out which format a log has. */
import { UserError } from "../user-error.ts";
import type { Clients } from "./clients.ts";
import { combinedReader } from "./combined.ts";
import { type FieldNames, jsonReader } from "./json-lines.ts";
import { type LineReader, NO_REQUEST } from "./record.ts";

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
  /** Whether the key of a policy names a header. */
  wantsHeaders: boolean;
}

export function readerOf(name: FormatName, clients: Clients, options: FormatOptions): LineReader {
  if (name === "json") return jsonReader(clients, options.fields);
  return combinedReader(clients, name === "vhost", options.wantsHeaders);
}

/**
 * Reads lines in the format that fits most of the first ones.
 *
 * Holds the first lines until there are enough of them; `end` decides with fewer.
 */
export class DetectingReader {
  readonly #clients: Clients;
  readonly #options: FormatOptions;
  readonly #onLine: (read: ReturnType<LineReader>) => void;
  #sample: Buffer[] = [];
  #read: LineReader | undefined;

  constructor(
    clients: Clients,
    options: FormatOptions,
    onLine: (read: ReturnType<LineReader>) => void,
  ) {
    this.#clients = clients;
    this.#options = options;
    this.#onLine = onLine;
    const name = options.format ?? (options.fields ? "json" : undefined);
    if (name) this.#read = readerOf(name, clients, options);
  }

  line(bytes: Buffer, from: number, to: number): void {
    if (from === to) return;
    if (this.#read) {
      this.#onLine(this.#read(bytes, from, to));
      return;
    }
    this.#sample.push(Buffer.from(bytes.subarray(from, to)));
    if (this.#sample.length >= SAMPLE_LINES) this.#choose();
  }

  /** @throws {UserError} if no line could be read */
  end(): void {
    if (!this.#read && this.#sample.length > 0) this.#choose();
  }

  #choose(): void {
    const sample = this.#sample;
    const read = FORMATS.map((name) => readerOf(name, this.#clients, this.#options))
      .map((reader) => ({ reader, fits: sample.filter((line) => isRead(reader, line)).length }))
      .reduce((best, next) => (next.fits > best.fits ? next : best));
    if (read.fits === 0) {
      const first = (sample[0] as Buffer).toString("utf8").slice(0, MAX_SHOWN_CHARS);
      throw new UserError(
        `no line is in a known format; the first is ${JSON.stringify(first)}. ` +
          `Write --format ${FORMATS.join(", ")}, or --fields ip=…,time=…,path=… for JSON`,
      );
    }
    this.#read = read.reader;
    this.#sample = [];
    for (const line of sample) this.#onLine(read.reader(line, 0, line.length));
  }
}

function isRead(reader: LineReader, line: Buffer): boolean {
  const read = reader(line, 0, line.length);
  return read !== undefined && read !== NO_REQUEST;
}
