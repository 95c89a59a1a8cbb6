/**
 * The rows on an owner's disk: bins as lines of JSON, by level and start.
 *
 * All lines of one call to `write` reach the disk, or none. A long line takes several rows, because
 * the platform limits the length of one.
 */
import type { EncodedBin } from "./bin.ts";
import { EVER, LEVELS, type Level } from "./level.ts";

/** The part of a Durable Object's storage that is used. */
export interface EventStorage {
  sql: { exec(query: string, ...values: (string | number)[]): Iterable<Record<string, unknown>> };
  transactionSync<Result>(work: () => Result): Result;
}

/** A bin, and the last batch of each sender that it has counted. */
export interface Line {
  bin: EncodedBin;
  senders?: [sender: string, number: number][];
}

/** The longest text of a row. A UTF-16 unit takes up to three bytes, and a row has at most 2 MB. */
const MAX_ROW_CHARS = 600_000;

export class EventRows {
  readonly #storage: EventStorage;
  #nextId: number;

  constructor(storage: EventStorage) {
    this.#storage = storage;
    this.#run(
      "CREATE TABLE IF NOT EXISTS bins (level INTEGER, start INTEGER, id INTEGER, text TEXT, PRIMARY KEY (level, start, id)) WITHOUT ROWID",
    );
    this.#nextId = 1 + this.#number("SELECT max(id) AS found FROM bins", 0);
  }

  write(lines: readonly [Level, Line][]): void {
    this.#storage.transactionSync(() => {
      for (const [level, line] of lines) this.#writeOne(level, line);
    });
  }

  /** Returns the lines of the bins that begin in a range, in their order, reading few at a time. */
  *read(level: Level, fromMs: number, toMs = Number.MAX_SAFE_INTEGER): Generator<Line> {
    let text = "";
    const query =
      "SELECT text FROM bins WHERE level = ? AND start >= ? AND start < ? ORDER BY start, id";
    for (const row of this.#storage.sql.exec(query, level.ms, fromMs, toMs)) {
      text += String(row.text);
      if (!text.endsWith("\n")) continue;
      yield JSON.parse(text) as Line;
      text = "";
    }
  }

  /** Returns when the last bin of a level begins, or `otherwise` if the level has no bins. */
  lastStart(level: Level, otherwise: number): number {
    const query = "SELECT max(start) AS found FROM bins WHERE level = ?";
    return this.#number(query, otherwise, level.ms);
  }

  get isEmpty(): boolean {
    return this.#number("SELECT max(id) AS found FROM bins", 0) === 0;
  }

  /** Drops what is kept no longer. */
  prune(nowMs: number): void {
    for (const { ms, keptMs } of LEVELS) {
      this.#run("DELETE FROM bins WHERE level = ? AND start < ?", ms, nowMs - keptMs - ms);
    }
  }

  #writeOne(level: Level, line: Line): void {
    // There is one sum since the beginning.
    if (level === EVER) this.#run("DELETE FROM bins WHERE level = ?", level.ms);
    const text = `${JSON.stringify(line)}\n`;
    for (let at = 0; at < text.length; at += MAX_ROW_CHARS) {
      const part = text.slice(at, at + MAX_ROW_CHARS);
      const id = this.#nextId++;
      this.#run("INSERT INTO bins VALUES (?, ?, ?, ?)", level.ms, line.bin[0], id, part);
    }
  }

  #number(query: string, otherwise: number, ...values: number[]): number {
    const [row] = this.#storage.sql.exec(query, ...values);
    return typeof row?.found === "number" ? row.found : otherwise;
  }

  #run(query: string, ...values: (string | number)[]): void {
    for (const _ of this.#storage.sql.exec(query, ...values));
  }
}
