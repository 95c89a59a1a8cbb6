/**
 * The old owner's side of a ring change: gives the counters of keys that have moved, and drops them
 * once the change has settled.
 *
 * To export is to read. This owner no longer counts a key that has moved, so the key's rows stay as
 * they are. The new owner may ask for them again until it has them on disk.
 */

import type { CounterTable } from "../../counters/counter-table.ts";
import { encodeRows, type Segment } from "../../counters/segment.ts";
import type { State } from "../../limit/algorithm.ts";
import type { ExportChunk, TableRows } from "../../protocol/rpc.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import type { Owner } from "../owner.ts";

interface Row {
  key: KeyHash;
  state: State;
}

type Named = readonly [name: string, table: CounterTable];

/**
 * Bytes of rows that one chunk looks at: a few milliseconds of work, and far below what an RPC may
 * carry.
 */
const CHUNK_BYTES = 400_000;

export class Exporter {
  readonly #owner: Owner;
  /** For each owner that imports all its keys, the segments as they were when it began. */
  readonly #exports = new Map<string, { table: string; segment: Segment }[]>();

  constructor(owner: Owner) {
    this.#owner = owner;
  }

  /** Makes exports under way begin again, since another ring is in force. */
  restart(): void {
    this.#exports.clear();
  }

  exportKeys(keys: readonly KeyHash[]): TableRows[] {
    const nowMs = this.#owner.now();
    return this.#tables().flatMap(([name, table]) => {
      const rows = keys.map((key) => ({ key, state: table.get(key) }));
      const live = rows.filter(({ state }) => isLive(state, nowMs));
      return live.length > 0 ? { table: name, bytes: encodeRows(live) } : [];
    });
  }

  /**
   * Returns all rows of some of the keys that are `to`'s now.
   *
   * @param cursor 0 at first, then `next` of the previous chunk
   * @param isTheirs tells whether a key is `to`'s
   */
  exportChunk(to: string, cursor: number, isTheirs: (key: KeyHash) => boolean): ExportChunk {
    const segments = cursor === 0 ? this.#beginExport(to) : this.#exports.get(to);
    // This object has restarted since, so the other owner begins again.
    if (!segments) return { rows: [], next: 0 };
    const nowMs = this.#owner.now();
    const tables = this.#tables();
    const exported = new Map<string, Row[]>();
    let at = cursor;
    for (let bytes = 0; at < segments.length && bytes < CHUNK_BYTES; at++) {
      const { table, segment } = segments[at] as { table: string; segment: Segment };
      segment.visit((key) => {
        if (isTheirs(key)) addAllRowsOf(key, table, tables, nowMs, exported);
      });
      bytes += segment.bytes;
    }
    const rows = Array.from(exported, ([table, each]) => ({ table, bytes: encodeRows(each) }));
    return { rows, next: at < segments.length ? at : null };
  }

  /**
   * Drops the rows of keys that belong to others, one segment a step, so that checks may come in
   * between.
   *
   * @param owns tells whether a key is still this owner's
   */
  *dropForeignRows(owns: (key: KeyHash) => boolean): Generator<void> {
    for (const [table, { segments }] of this.#tables()) {
      for (const segment of [...segments]) {
        const foreign: KeyHash[] = [];
        segment.visit((key) => {
          if (!owns(key)) foreign.push(key);
        });
        for (const key of foreign) this.#owner.removeRow(table, key);
        yield;
      }
    }
  }

  #beginExport(to: string): { table: string; segment: Segment }[] {
    // A segment that is split later stays here as it was. Rows that have moved no longer change.
    const all = this.#tables().flatMap(([table, { segments }]) =>
      segments.map((segment) => ({ table, segment })),
    );
    this.#exports.set(to, all);
    return all;
  }

  /** All tables but those of imported keys, which matter only here. */
  #tables(): Named[] {
    return [...this.#owner.tables].filter(([, { kind }]) => kind !== "imported");
  }
}

/**
 * Adds a key's rows from all tables, so that its new owner never comes back for more. Does so only
 * when the scan meets the key in the first table that has it: otherwise it would add them once for
 * each table.
 */
function addAllRowsOf(
  key: KeyHash,
  metIn: string,
  tables: readonly Named[],
  nowMs: number,
  exported: Map<string, Row[]>,
): void {
  let isFirst = true;
  for (const [name, table] of tables) {
    const state = table.get(key);
    if (!isLive(state, nowMs)) continue;
    if (isFirst && name !== metIn) return;
    isFirst = false;
    const rows = exported.get(name) ?? [];
    exported.set(name, rows);
    rows.push({ key, state });
  }
}

function isLive(state: State | undefined, nowMs: number): state is State {
  return state !== undefined && state[0] > nowMs;
}
