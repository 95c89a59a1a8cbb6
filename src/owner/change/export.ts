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
import { hashText, type KeyHash } from "../../ring/key-hash.ts";
import type { Owner } from "../owner.ts";

interface Row {
  key: KeyHash;
  state: State;
}

type Named = readonly [name: string, table: CounterTable];

/** A key to export. */
interface Sought {
  key: KeyHash;
  /** The tables in which a chunk meets it; absent if any may be its first. */
  metIn?: string[] | undefined;
}

/**
 * Bytes of rows that one chunk looks at: a few milliseconds of work, and far below what an RPC may
 * carry.
 */
const CHUNK_BYTES = 400_000;
/** Bytes of rows that one step looks at, and the least that a segment counts for. */
const STEP_BYTES = 20_000;
const LEAST_SEGMENT_BYTES = 100;

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
    const sought = new Map(keys.map((key) => [hashText(key), { key }]));
    return rowsOf(sought, this.#tables(), this.#owner.now());
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
    const sought = new Map<string, Sought>();
    let at = cursor;
    for (let bytes = 0; at < segments.length && bytes < CHUNK_BYTES; at++) {
      const { table, segment } = segments[at] as { table: string; segment: Segment };
      segment.visit((key) => {
        const id = hashText(key);
        const known = sought.get(id);
        if (known) known.metIn?.push(table);
        else if (isTheirs(key)) sought.set(id, { key, metIn: [table] });
      });
      bytes += segment.bytes;
    }
    const rows = rowsOf(sought, this.#tables(), this.#owner.now());
    return { rows, next: at < segments.length ? at : null };
  }

  /**
   * Drops the rows of keys that belong to others, a few at a step, so that checks may come in
   * between.
   *
   * @param owns tells whether a key is still this owner's
   */
  *dropForeignRows(owns: (key: KeyHash) => boolean): Generator<void> {
    let bytes = 0;
    for (const [table, { segments }] of this.#tables()) {
      for (const segment of [...segments]) {
        const foreign: KeyHash[] = [];
        segment.visit((key) => {
          if (!owns(key)) foreign.push(key);
        });
        bytes += LEAST_SEGMENT_BYTES + segment.bytes;
        for (const key of foreign) this.#owner.removeRow(table, key);
        if (bytes < STEP_BYTES) continue;
        bytes = 0;
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
 * Returns all rows of the keys, so that their new owner never comes back for more. Leaves out a key
 * of a chunk that an earlier table has: it was exported when the scan met it there.
 *
 * @param sought by `hashText`
 */
function rowsOf(sought: Map<string, Sought>, tables: readonly Named[], nowMs: number): TableRows[] {
  return tables.flatMap(([table, counters]) => {
    const rows: Row[] = [];
    const add = (id: string, key: KeyHash, state: State | undefined) => {
      const each = sought.get(id);
      if (!each || !isLive(state, nowMs)) return;
      if (each.metIn?.includes(table) === false) sought.delete(id);
      else {
        each.metIn = undefined;
        rows.push({ key, state });
      }
    };
    // With thousands of tables, most have fewer rows than there are keys.
    if (counters.size < sought.size) {
      for (const segment of counters.segments) {
        segment.visit((key, state) => add(hashText(key), key, state));
      }
    } else for (const [id, { key }] of sought) add(id, key, counters.get(key));
    return rows.length > 0 ? { table, bytes: encodeRows(rows) } : [];
  });
}

function isLive(state: State | undefined, nowMs: number): state is State {
  return state !== undefined && state[0] > nowMs;
}
