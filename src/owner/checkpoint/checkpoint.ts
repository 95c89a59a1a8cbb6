/**
 * What an owner has on disk: its tables as of the last checkpoint, and the durable counters since.
 *
 * A checkpoint writes the rows that changed, and a few segments whole, those that have gone longest
 * without, so that older changes can be deleted. Its cost follows the traffic and not the tables.
 * Random keys change a little of every segment: all of them would be 30 MB for a million keys.
 * Everything is gathered in one turn. Each part is then written in a turn of its own, under a key
 * that nothing on disk refers to. The manifest comes last and makes the parts count. A checkpoint
 * is read whole: one that is cut short, or of another version, is refused.
 */

import type { CounterTable } from "../../counters/counter-table.ts";
import { newTable } from "../../counters/table-name.ts";
import type { State } from "../../limit/algorithm.ts";
import { idOf, type KeyHash } from "../../ring/key-hash.ts";
import { checksum } from "./checksum.ts";
import {
  JOURNAL,
  MANIFEST,
  readJournalEntry,
  readManifest,
  type TableParts,
  writeJournalEntry,
  writeManifest,
} from "./manifest.ts";
import { type Piece, pieceKeys, toPieces } from "./pieces.ts";
import { TableCopy } from "./table-copy.ts";

/** Bytes of stale segments that each checkpoint writes whole, at least: a segment or two. */
const WHOLE_BYTES = 128_000;
/** Bytes that a changed row takes, about. */
const CHANGE_BYTES = 40;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;
/** Up to this many changes are written in one turn. That takes 1 or 2 ms, every 2 s at most. */
const SHORT_CHANGES = 512;
/**
 * Keys deleted in a turn, at least. The storage reads values on its way to a key: 0.2 ms for each.
 */
const REMOVED_A_TURN = 1;
const UNCONFIRMED = { allowUnconfirmed: true };

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = Pick<DurableObjectStorage, "list" | "put" | "delete" | "deleteAll">;

export class Checkpoint {
  readonly #storage: CheckpointStorage;
  readonly #shortChanges: number;
  /** Storage keys that are in use. */
  #keys = new Set<string>();
  #number = 0;
  readonly #copies = new Map<string, TableCopy>();
  /** Pieces that are gathered and not yet written. */
  #queue: Piece[] = [];
  /** Storage keys that nothing needs once the manifest is on disk. */
  #unused = new Set<string>();
  #isPending = false;
  #clockMs = 0;
  /** Number of the last checkpoint that is whole on disk; 0 if there is none. */
  #confirmed = 0;

  /** @param shortChanges the most changes that are written in one turn */
  constructor(storage: CheckpointStorage, shortChanges = SHORT_CHANGES) {
    this.#storage = storage;
    this.#shortChanges = shortChanges;
  }

  /** Grows by one with each `gather` and `clear`, and with each failure. */
  get number(): number {
    return this.#number;
  }

  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  /** Counters that changed since the last checkpoint. */
  get changes(): number {
    let changes = 0;
    for (const { changed } of this.#copies.values()) changes += changed;
    return changes;
  }

  /** To be called when a counter was set or deleted. */
  change(table: string, key: KeyHash): void {
    this.#copyOf(table).change(key);
  }

  /**
   * Reads the checkpoint with the journal on top.
   *
   * @param tables where the tables are put
   * @returns the owner's clock, ms since the epoch; 0 if there is no checkpoint
   * @throws {MisuseError} if it is not whole or not of this version
   */
  async read(tables: Map<string, CounterTable>): Promise<number> {
    const entries = await this.#storage.list();
    for (const key of entries.keys()) {
      if (key.startsWith(MANIFEST) || key.startsWith(JOURNAL)) this.#keys.add(key);
    }
    let clockMs = 0;
    if ([...entries.keys()].some((key) => key.startsWith(MANIFEST))) {
      const manifest = readManifest(entries.get(MANIFEST));
      ({ clockMs, number: this.#number } = manifest);
      this.#confirmed = this.#number;
      for (const [name, parts] of Object.entries(manifest.tables)) {
        tables.set(name, this.#copyOf(name).read(entries, parts));
      }
    }
    for (const [key, entry] of entries) {
      if (!key.startsWith(JOURNAL)) continue;
      const { table: name, state, ...hash } = readJournalEntry(key, entry);
      const table = tables.get(name) ?? newTable(name);
      tables.set(name, table);
      if (state) table.set(hash, state as unknown as State);
      else table.delete(hash);
      this.change(name, hash);
    }
    return clockMs;
  }

  /** Whether what was gathered does not count yet. */
  get isPending(): boolean {
    return this.#isPending;
  }

  /** Whether there is anything left to write or to remove. */
  get isUnfinished(): boolean {
    return this.#isPending || this.#unused.size > 0;
  }

  /** Whether the next checkpoint is to be written in one turn: the first, or one of few changes. */
  get isShort(): boolean {
    // Parts without a manifest on disk would look like a checkpoint that has lost its own.
    return this.#confirmed === 0 || this.changes <= this.#shortChanges;
  }

  /** Captures everything that is to be written, as it is now, and what nothing needs after that. */
  gather(clockMs: number, tables: ReadonlyMap<string, CounterTable>): void {
    this.#number++;
    this.#clockMs = clockMs;
    this.#isPending = true;
    for (const name of this.#copies.keys()) if (!tables.has(name)) this.#copies.delete(name);
    const changeBytes = this.changes * CHANGE_BYTES;
    for (const [name, table] of tables) this.#copyOf(name).compare(table);
    this.#gatherSegments(changeBytes);
    for (const copy of this.#copies.values()) {
      this.#queue.push(...copy.gatherChanges(this.#number));
    }
    this.#renewKeys();
  }

  /**
   * Writes one piece of what was gathered, and at last the manifest, which makes them count. Then
   * deletes what nothing needs any more.
   *
   * @throws what the storage throws; the next checkpoint then writes these changes, too
   */
  async writeSome(): Promise<void> {
    const next = this.#queue.shift();
    if (next) await this.#put([next]);
    else if (this.#isPending) await this.#finish();
    // A share of all, so that deletions keep up with what piles up meanwhile.
    else await this.#remove(Math.max(REMOVED_A_TURN, this.#unused.size >> 3));
  }

  /** Does all that in one turn: it reaches the disk together or not at all. */
  async writeAll(): Promise<void> {
    const number = this.#number;
    await this.#finish();
    if (number === this.#number) await this.#remove(this.#unused.size);
  }

  /**
   * Writes one counter at once. The runtime holds the answer back until it is on disk.
   *
   * @param state undefined if the counter was deleted
   */
  async writeJournal(table: string, hash: KeyHash, state: State | undefined): Promise<void> {
    const key = `${JOURNAL}${table}/${idOf(hash)}`;
    this.#keys.add(key);
    this.#unused.delete(key);
    const entry = writeJournalEntry({ table, ...hash, state: state ? [...state] : null });
    await this.#storage.put({ [key]: entry });
  }

  /** Deletes all that is on disk, and the alarm with it. */
  async clear(): Promise<void> {
    this.#number++;
    this.#confirmed = 0;
    this.#isPending = false;
    this.#queue = [];
    this.#keys.clear();
    this.#unused.clear();
    this.#copies.clear();
    await this.#storage.deleteAll();
  }

  #copyOf(table: string): TableCopy {
    let copy = this.#copies.get(table);
    if (!copy) {
      copy = new TableCopy(table);
      this.#copies.set(table, copy);
    }
    return copy;
  }

  /** Gathers new segments, and of the stale ones, up to some bytes, those that waited longest. */
  #gatherSegments(changeBytes: number): void {
    const copies = [...this.#copies.values()].flatMap(({ segments }) => segments);
    const stale = copies.filter(({ isStale }) => isStale).sort((a, b) => a.freshAt - b.freshAt);
    let left = Math.max(WHOLE_BYTES, changeBytes);
    for (const copy of stale) {
      if (left <= 0 && copy.freshAt > 0) break;
      const bytes = copy.segment.toBytes();
      const key = `${copy.place}/${this.#number}`;
      copy.keys = pieceKeys(key, bytes.length);
      this.#queue.push(...toPieces(key, bytes));
      copy.bytes = bytes.length;
      copy.sum = checksum(bytes);
      copy.isStale = false;
      copy.number = this.#number;
      left -= bytes.length;
    }
    // A segment that has not changed is as good as written now.
    for (const copy of copies) if (!copy.isStale) copy.freshAt = this.#number;
  }

  /** Finds out which storage keys are in use now, and which no longer are. */
  #renewKeys(): void {
    const copies = [...this.#copies.values()];
    const parts = copies.flatMap(({ segments, changes }) => [...segments, ...changes]);
    const used = new Set([MANIFEST, ...parts.flatMap(({ keys }) => keys)]);
    const known = [...this.#unused, ...this.#keys];
    this.#unused = new Set(known.filter((key) => !used.has(key)));
    this.#keys = used;
  }

  async #finish(): Promise<void> {
    const number = this.#number;
    this.#isPending = false;
    await this.#put([...this.#queue.splice(0), [MANIFEST, this.#manifest()]]);
    // A failure, or another checkpoint, came meanwhile.
    if (number !== this.#number) return;
    this.#confirmed = number;
    for (const copy of this.#copies.values()) copy.confirm();
  }

  async #put(values: readonly (readonly [string, unknown])[]): Promise<void> {
    // No `await` before the last call: writes of one turn reach the disk together or not at all.
    // Unconfirmed: an answer need not wait for the disk, and a crash may lose one interval anyway.
    try {
      await Promise.all(
        chunks(values).map((some) => this.#storage.put(Object.fromEntries(some), UNCONFIRMED)),
      );
    } catch (error) {
      // What is being written now depends on what failed, so it must not count.
      this.#number++;
      this.#queue = [];
      this.#isPending = false;
      for (const copy of this.#copies.values()) copy.takeBack(this.#confirmed);
      throw error;
    }
  }

  #manifest(): unknown {
    const tables: Record<string, TableParts> = {};
    for (const [name, copy] of this.#copies) {
      // A table that began after `gather` has nothing to write yet.
      if (copy.segments.length > 0) tables[name] = copy.parts;
    }
    return writeManifest({ clockMs: this.#clockMs, number: this.#number, tables });
  }

  /**
   * Deletes keys that nothing needs. Not before the manifest: until then, what is on disk counts.
   */
  async #remove(count: number): Promise<void> {
    const gone = [...this.#unused].slice(0, count);
    for (const key of gone) this.#unused.delete(key);
    await Promise.all(chunks(gone).map((some) => this.#storage.delete(some, UNCONFIRMED)));
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
