/**
 * The rows on an owner's disk: bins as lines of JSON, by level and start.
 *
 * A large tally has a line of its own, so that reading another name skips it. All lines of one call
 * to `write` reach the disk, or none. A long line takes several rows, because the platform limits
 * the length of a row.
 */
import type { EncodedBin } from "./bin.ts";
import { EVER, LEVELS, type Level } from "./level.ts";

/** The part of a Durable Object's storage that is used. */
export interface EventStorage {
  sql: { exec(query: string, ...values: (string | number)[]): Iterable<Record<string, unknown>> };
  transactionSync<Result>(work: () => Result): Result;
}

/** A bin or a part of it, and the last batch of each sender that the bin has counted. */
export interface Line {
  bin: EncodedBin;
  senders?: [sender: string, number: number][];
}

/** The longest text of a row. A UTF-16 unit takes up to three bytes, and a row has at most 2 MB. */
const MAX_ROW_CHARS = 600_000;
/** A tally with more texts and numbers, about 30 tuples, has a line of its own. */
const MAX_SHARED_CELLS = 100;
/** Stands for several names. */
const SHARED = "";

export class EventRows {
  readonly #storage: EventStorage;
  #nextId: number;

  constructor(storage: EventStorage) {
    this.#storage = storage;
    // The name stands before the text, so that a row of another name is not read to its end.
    this.#run(
      "CREATE TABLE IF NOT EXISTS lines (level INTEGER, start INTEGER, id INTEGER, name TEXT, text TEXT, PRIMARY KEY (level, start, id)) WITHOUT ROWID",
    );
    this.#nextId = 1 + this.#number("SELECT max(id) AS found FROM lines", 0);
  }

  write(lines: readonly [Level, Line][]): void {
    this.#storage.transactionSync(() => {
      for (const [level, line] of lines) this.#writeBin(level, line);
    });
  }

  /**
   * Yields the lines of the bins that begin in a range, in order, and reads few at a time.
   *
   * @param names yields only lines that may have one of these names; all lines if left out
   */
  *read(
    level: Level,
    fromMs: number,
    toMs = Number.MAX_SAFE_INTEGER,
    names: readonly string[] = [],
  ): Generator<Line> {
    let text = "";
    const wanted = names.length > 0 ? [...names, SHARED] : [];
    const ofNames = wanted.length > 0 ? `AND name IN (${wanted.map(() => "?")})` : "";
    const query = `SELECT text FROM lines WHERE level = ? AND start >= ? AND start < ? ${ofNames} ORDER BY start, id`;
    for (const row of this.#storage.sql.exec(query, level.ms, fromMs, toMs, ...wanted)) {
      text += String(row.text);
      if (!text.endsWith("\n")) continue;
      yield JSON.parse(text) as Line;
      text = "";
    }
  }

  /** Returns when the last bin of a level begins, or `otherwise` if the level has no bins. */
  lastStart(level: Level, otherwise: number): number {
    const query = "SELECT max(start) AS found FROM lines WHERE level = ?";
    return this.#number(query, otherwise, level.ms);
  }

  get isEmpty(): boolean {
    return this.#number("SELECT max(id) AS found FROM lines", 0) === 0;
  }

  /** Drops bins whose time is over. */
  prune(nowMs: number): void {
    for (const { ms, keptMs } of LEVELS) {
      this.#run("DELETE FROM lines WHERE level = ? AND start < ?", ms, nowMs - keptMs - ms);
    }
  }

  #writeBin(level: Level, { bin: [startMs, ...tallies], senders }: Line): void {
    // The bin since the beginning is replaced: there is only one.
    if (level === EVER) this.#run("DELETE FROM lines WHERE level = ?", level.ms);
    const isLarge = ([, [, , tuples]]: (typeof tallies)[0]) => tuples.length > MAX_SHARED_CELLS;
    const shared = tallies.filter((each) => !isLarge(each));
    if (shared.length > 0 || senders) {
      this.#writeLine(level, SHARED, { bin: [startMs, ...shared], ...(senders && { senders }) });
    }
    for (const tally of tallies.filter(isLarge)) {
      this.#writeLine(level, tally[0], { bin: [startMs, tally] });
    }
  }

  #writeLine(level: Level, name: string, line: Line): void {
    const text = `${JSON.stringify(line)}\n`;
    for (let at = 0; at < text.length; at += MAX_ROW_CHARS) {
      const part = text.slice(at, at + MAX_ROW_CHARS);
      const id = this.#nextId++;
      this.#run("INSERT INTO lines VALUES (?, ?, ?, ?, ?)", level.ms, line.bin[0], id, name, part);
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
