/**
 * What an owner has on disk: its tables, as far as the last checkpoint, and the durable counters
 * since.
 *
 * A checkpoint writes the rows that changed, and a few segments whole, those that were written
 * longest ago first, so that the changes before them can go. What it takes follows from the traffic
 * and not from the tables: random keys change a little of every segment, and to write all of them
 * would take 30 MB each time for a million keys. All is gathered in one turn, and each part written
 * in one of its own under a key that nothing on disk refers to; the manifest comes last, and from
 * then on they count. Read whole or not at all: what is cut short or of another version is refused.
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

/** Written whole each time at least, where so much has changed: a segment or two. */
const WHOLE_BYTES = 128_000;
/** What a changed row takes, about. */
const CHANGE_BYTES = 40;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;
/** Written in one turn, which takes 1 or 2 ms, but not more often than every 2 s. */
const SHORT_CHANGES = 512;
/** The storage reads the values that it finds on its way to a key, so each takes about 0.2 ms. */
const REMOVED_A_TURN = 1;
const UNCONFIRMED = { allowUnconfirmed: true };

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = Pick<DurableObjectStorage, "list" | "put" | "delete" | "deleteAll">;

export class Checkpoint {
  readonly #storage: CheckpointStorage;
  readonly #shortChanges: number;
  /** The storage keys that are in use. */
  #keys = new Set<string>();
  #number = 0;
  readonly #copies = new Map<string, TableCopy>();
  /** Gathered, and yet to be written. */
  #queue: Piece[] = [];
  /** Storage keys that are of no use once the manifest is on disk. */
  #unused = new Set<string>();
  #isPending = false;
  #clockMs = 0;
  /** Number of the last checkpoint that was written whole; 0 where none is on disk. */
  #confirmed = 0;

  /** @param shortChanges how many changes are written in one turn at most */
  constructor(storage: CheckpointStorage, shortChanges = SHORT_CHANGES) {
    this.#storage = storage;
    this.#shortChanges = shortChanges;
  }

  /** One more after each `gather` and `clear`, and each failure. */
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

  /** See {@link TableCopy.touch}. */
  touch(keys: readonly { key: KeyHash }[]): void {
    for (const copy of this.#copies.values()) copy.touch(keys);
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

  /** Whether the next one is to be written in one turn: the first of all, or of few changes. */
  get isShort(): boolean {
    // Parts with no manifest on disk would be taken for a checkpoint that has lost its own.
    return this.#confirmed === 0 || this.changes <= this.#shortChanges;
  }

  /** Takes all that is to be written, as it is now, and what is no longer needed then. */
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
   * Writes one piece of what was gathered, at last the manifest, by which they count; then removes
   * what does not any more.
   *
   * @throws what the storage does if it can't write; then the next checkpoint writes that too
   */
  async writeSome(): Promise<void> {
    const next = this.#queue.shift();
    if (next) await this.#put([next]);
    else if (this.#isPending) await this.#finish();
    // A part of all: what piles up while it is removed must be removed as fast.
    else await this.#remove(Math.max(REMOVED_A_TURN, this.#unused.size >> 3));
  }

  /** As `writeSome`, all in one turn: it reaches the disk together or not at all. */
  async writeAll(): Promise<void> {
    const number = this.#number;
    await this.#finish();
    if (number === this.#number) await this.#remove(this.#unused.size);
  }

  /**
   * Writes one counter at once. The runtime holds back the answer until it is on disk.
   *
   * @param state undefined where the counter was deleted
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

  /** Takes new segments, and of the stale ones those written longest ago, up to some bytes. */
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
    // What has not changed since is as good as written now.
    for (const copy of copies) if (!copy.isStale) copy.freshAt = this.#number;
  }

  /** Finds out which storage keys are in use now, and which are no longer. */
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
    // Unless there is more to lose again.
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
      // Whatever is being written now would count on this.
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
      // One that began since has nothing yet.
      if (copy.segments.length > 0) tables[name] = copy.parts;
    }
    return writeManifest({ clockMs: this.#clockMs, number: this.#number, tables });
  }

  /** Not before the manifest: what is on disk still counts where it could not be replaced. */
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
