/**
 * Counters that change hands when the ring does: what an owner gives, and what it takes.
 *
 * To give is to read. The old owner no longer counts a key that has moved, so the key's rows stay
 * as they are. The new owner may ask for them again until it has them on disk.
 */

import { decodeRows, encodeRows, type Segment } from "../../counters/segment.ts";
import { isTaken, takenName, UNSURE } from "../../counters/table-name.ts";
import type { Tables } from "../../counters/tables.ts";
import type { State } from "../../limit/algorithm.ts";
import { MAX_WINDOW_MS } from "../../limit/policy.ts";
import type { Parcel, TableRows } from "../../protocol/rpc.ts";
import { idOf, type KeyHash } from "../../ring/key-hash.ts";

interface Row {
  key: KeyHash;
  state: State;
}

/** A table's name and what is in it. */
type Table = [string, { get: (key: KeyHash) => State | undefined; segments: readonly Segment[] }];

/**
 * Bytes of rows that one parcel looks at: a few milliseconds of work, and far below what an RPC may
 * carry.
 */
const PARCEL_BYTES = 400_000;

export class Handover {
  /** Whether the last checkpoint holds all that was taken over. */
  isSaved = true;
  readonly #tables: Tables;
  /** For each owner that takes all its keys, the segments as they were when it began. */
  readonly #journeys = new Map<string, { table: string; segment: Segment }[]>();
  /** Name of the table of keys taken over in the change under way. */
  #taken: string | undefined;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /**
   * Begins a change, or resumes it after a restart.
   *
   * @param version of the ring that keys are taken from; undefined if no change is under way
   */
  begin(version: number | undefined): void {
    this.#journeys.clear();
    this.#taken = version === undefined ? undefined : takenName(version);
    for (const name of [...this.#tables.byName.keys()]) {
      // Marks left from another change would claim keys that were never taken.
      if (isTaken(name) && name !== this.#taken) this.#tables.drop(name);
    }
  }

  /** Returns what is counted for these keys. */
  give(keys: readonly KeyHash[], nowMs: number): TableRows[] {
    const given: TableRows[] = [];
    for (const [table, { get }] of this.#each()) {
      const rows = keys.map((key) => ({ key, state: get(key) }));
      const live = rows.filter(({ state }) => isLive(state, nowMs));
      if (live.length > 0) given.push({ table, bytes: encodeRows(live) });
    }
    return given;
  }

  /**
   * Returns all that is counted for some of the keys that are `to`'s now.
   *
   * @param from where to go on: 0, or what the parcel before said
   * @param isTheirs tells whether a key is `to`'s
   */
  giveSome(to: string, from: number, isTheirs: (key: KeyHash) => boolean, nowMs: number): Parcel {
    const journey = from === 0 ? this.#setOut(to) : this.#journeys.get(to);
    // This object has restarted since, so the other owner begins again.
    if (!journey) return { rows: [], next: 0 };
    const given = new Map<string, Row[]>();
    const tables = [...this.#each()];
    let at = from;
    for (let looked = 0; at < journey.length && looked < PARCEL_BYTES; at++) {
      const { table, segment } = journey[at] as { table: string; segment: Segment };
      segment.some((key) => {
        if (isTheirs(key)) addWhole(given, key, table, tables, nowMs);
        return false;
      });
      looked += segment.bytes;
    }
    const rows = Array.from(given, ([table, each]) => ({ table, bytes: encodeRows(each) }));
    return { rows, next: at < journey.length ? at : null };
  }

  /** Puts in place what was given, except for keys taken before. */
  take(given: readonly TableRows[], nowMs: number): void {
    const taken = new Map<string, KeyHash>();
    for (const { table, bytes } of given) {
      decodeRows(bytes, (key, state) => {
        if (!state || this.hasTaken(key)) return;
        this.#tables.put(table, key, state);
        taken.set(idOf(key), key);
      });
    }
    // Only now, since a key may have rows in several tables.
    for (const key of taken.values()) this.mark(key, nowMs);
  }

  /** Notes that a key's counters are here, or that there were none. */
  mark(key: KeyHash, nowMs: number): void {
    if (!this.#taken) return;
    this.#tables.put(this.#taken, key, [nowMs + MAX_WINDOW_MS]);
    this.isSaved = false;
  }

  hasTaken(key: KeyHash): boolean {
    return (
      this.#taken === undefined || this.#tables.byName.get(this.#taken)?.get(key) !== undefined
    );
  }

  /** Notes that a key is counted anew, since nobody gave its counters. */
  doubt(key: KeyHash, nowMs: number): void {
    this.#tables.put(UNSURE, key, [nowMs + MAX_WINDOW_MS, nowMs]);
    this.mark(key, nowMs);
  }

  get hasDoubts(): boolean {
    return this.#tables.byName.has(UNSURE);
  }

  /** When a key began to be counted anew, ms since the epoch; undefined if it was not. */
  doubtedMs(key: KeyHash): number | undefined {
    return this.#tables.byName.get(UNSURE)?.get(key)?.[1];
  }

  /**
   * Removes the counters that belong to others now. Each step is a segment, so that checks may come
   * between.
   *
   * @param isMine tells whether a key is still this owner's
   */
  *letGo(isMine: (key: KeyHash) => boolean): Generator<void> {
    for (const [table, { segments }] of [...this.#each()]) {
      for (const segment of [...segments]) {
        const gone: KeyHash[] = [];
        segment.some((key) => {
          if (!isMine(key)) gone.push(key);
          return false;
        });
        for (const key of gone) this.#tables.remove(table, key);
        yield;
      }
    }
  }

  #setOut(to: string): { table: string; segment: Segment }[] {
    // A segment that is split later stays here as it was. Rows that have moved no longer change.
    const journey = [...this.#each()].flatMap(([table, { segments }]) =>
      segments.map((segment) => ({ table, segment })),
    );
    this.#journeys.set(to, journey);
    return journey;
  }

  *#each(): Generator<Table> {
    for (const [name, table] of this.#tables.byName) {
      if (isTaken(name)) continue;
      yield [name, { get: (key) => table.get(key), segments: table.segments }];
    }
  }
}

/**
 * Adds a key's rows from all tables, so that its new owner never comes back for more. Does so only
 * when the scan meets the key in the first table that has it: otherwise it would add them once for
 * each table.
 */
function addWhole(
  given: Map<string, Row[]>,
  key: KeyHash,
  metIn: string,
  tables: readonly Table[],
  nowMs: number,
): void {
  let isFirst = true;
  for (const [name, { get }] of tables) {
    const state = get(key);
    if (!isLive(state, nowMs)) continue;
    if (isFirst && name !== metIn) return;
    isFirst = false;
    const rows = given.get(name) ?? [];
    given.set(name, rows);
    rows.push({ key, state });
  }
}

function isLive(state: State | undefined, nowMs: number): state is State {
  return state !== undefined && state[0] > nowMs;
}
