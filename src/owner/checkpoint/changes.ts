/** Which rows changed since a checkpoint, and which tables were dropped. */
import { FixedRows } from "../../counters/fixed-rows.ts";
import { stateNumbersOf } from "../../counters/table-name.ts";
import type { KeyHash } from "../../ring/key-hash.ts";

/** A row in the log besides its numbers, about. */
const ROW_HEAD_BYTES = 8;
/** The state of a key in a set of keys. */
const PRESENT = [1] as const;

export class Changes {
  /** What the rows take in the log, bytes. */
  bytes = 0;
  /** Changed keys by table: sets that take 16 bytes a key. */
  readonly keys = new Map<string, FixedRows>();
  /** Dropped before the rows in `keys` were set. */
  readonly dropped = new Set<string>();

  get isEmpty(): boolean {
    return this.keys.size === 0 && this.dropped.size === 0;
  }

  /** @param numbers how many numbers the row's state has, if that varies */
  add(table: string, key: KeyHash, numbers: () => number): void {
    let keys = this.keys.get(table);
    if (!keys) {
      keys = new FixedRows(1);
      this.keys.set(table, keys);
    }
    const { size } = keys;
    keys.set(key, PRESENT);
    if (keys.size === size) return;
    const count = stateNumbersOf(table) || numbers();
    this.bytes += ROW_HEAD_BYTES + count * Float64Array.BYTES_PER_ELEMENT;
  }

  drop(table: string): void {
    this.keys.delete(table);
    this.dropped.add(table);
  }

  /**
   * Adds earlier changes that could not be written.
   *
   * @param isGone tells whether a table is still gone
   */
  takeBack(earlier: Changes, isGone: (table: string) => boolean): void {
    for (const [table, keys] of earlier.keys) {
      keys.some((key) => {
        this.add(table, key, () => 0);
        return false;
      });
    }
    for (const table of earlier.dropped) if (isGone(table)) this.dropped.add(table);
  }
}
