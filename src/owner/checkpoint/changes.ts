/** Which rows changed and which tables were dropped, and how a log entry holds them as sections. */
import type { CounterTable } from "../../counters/counter-table.ts";
import { FixedRows } from "../../counters/fixed-rows.ts";
import { RowWriter } from "../../counters/segment.ts";
import { stateNumbersOf } from "../../counters/table-name.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { bytesOf, CHANGED, DROPPED, type Section } from "./format.ts";

/** About the bytes that a row takes in the log besides the numbers of its state. */
const ROW_HEAD_BYTES = 8;
/**
 * The most numbers that a row counts for. One long row that changes with each check, such as a
 * sliding log's, would otherwise be due to be written with each.
 */
const MOST_NUMBERS = 512;
const NO_ROWS = new Uint8Array();
/** The state of a key in a set of keys. */
const PRESENT = [1] as const;
/**
 * The most rows in a section, of a fixed size and of any size. The latter take up to 160 KB each, and
 * a value of the log may have a whole section beyond its 500 KB, of the 2 MB that the platform takes.
 */
const SECTION_ROWS = [4_096, 8] as const;

export type Tables = ReadonlyMap<string, CounterTable>;

export class Changes {
  /** About the bytes that they take in the log, if no row is long. */
  bytes = 0;
  /** Changed keys by table: sets that take 16 bytes a key. */
  readonly #keys = new Map<string, FixedRows>();
  /** Tables that were dropped before these rows were set. */
  readonly #dropped = new Set<string>();

  get isEmpty(): boolean {
    return this.#keys.size === 0 && this.#dropped.size === 0;
  }

  /**
   * Notes that a row was set or deleted.
   *
   * @param numbers how many numbers its state has, if that varies
   */
  change(table: string, key: KeyHash, numbers = () => 0): void {
    let keys = this.#keys.get(table);
    if (!keys) {
      keys = new FixedRows(1);
      this.#keys.set(table, keys);
      this.bytes += bytesOf(section(table, CHANGED, NO_ROWS));
    }
    const { size } = keys;
    keys.set(key, PRESENT);
    if (keys.size === size) return;
    const count = Math.min(MOST_NUMBERS, stateNumbersOf(table) || numbers());
    this.bytes += ROW_HEAD_BYTES + count * Float64Array.BYTES_PER_ELEMENT;
  }

  /** Notes that a table is gone with all its rows. */
  drop(table: string): void {
    this.#keys.delete(table);
    this.#dropped.add(table);
    this.bytes += bytesOf(section(table, DROPPED, NO_ROWS));
  }

  /** Returns these changes and later ones. Neither of the two may be used from then on. */
  with(later: Changes): Changes {
    if (this.isEmpty) return later;
    for (const table of later.#dropped) this.drop(table);
    for (const [table, keys] of later.#keys) keys.visit((key) => this.change(table, key));
    return this;
  }

  /** Returns the sections of a log entry. A row is written as it is now, or as deleted. */
  sections(tables: Tables): Section[] {
    const sections = [...this.#dropped].map((table) => section(table, DROPPED, NO_ROWS));
    const rows = new RowWriter(Math.ceil(this.bytes / Float64Array.BYTES_PER_ELEMENT));
    for (const [name, keys] of this.#keys) {
      const table = tables.get(name);
      if (!table) continue;
      const numbers = stateNumbersOf(name);
      const most = SECTION_ROWS[numbers ? 0 : 1];
      keys.visit((key) => {
        rows.add(numbers, key, table.get(key));
        if (rows.size === most) sections.push(section(name, CHANGED, rows.take()));
      });
      if (rows.size > 0) sections.push(section(name, CHANGED, rows.take()));
    }
    return sections;
  }
}

function section(table: string, index: number, rows: Uint8Array<ArrayBuffer>): Section {
  // In earlier releases, a count of 1 says that the entry was written together with a head.
  return { table, index, count: 1, rows };
}
