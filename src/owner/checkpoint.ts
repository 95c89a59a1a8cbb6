/**
 * What an owner has on disk: its tables, as far as the last checkpoint, and the durable counters
 * since.
 *
 * A checkpoint writes the rows that changed, and a few segments whole, those that were written
 * longest ago first, so that the changes before them can go. What it takes follows from the traffic
 * and not from the tables: random keys change a little of every segment, and to write all of them
 * would take 30 MB each time for a million keys. All is written in one turn, which reaches the
 * disk together or not at all. Read whole or not at all: what is cut short or of another version is
 * refused.
 */
import type { State } from "../limit/algorithm.ts";
import { idOf, type KeyHash } from "../ring/key-hash.ts";
import { checksum } from "./checksum.ts";
import type { CounterTable } from "./counter-table.ts";
import {
  JOURNAL,
  MANIFEST,
  readJournalEntry,
  readManifest,
  type TableParts,
  writeJournalEntry,
  writeManifest,
} from "./manifest.ts";
import { toPieces } from "./pieces.ts";
import { TableCopy } from "./table-copy.ts";
import { newTable } from "./table-kind.ts";

/** Written whole each time at least, where so much has changed: as much as takes about 1 ms. */
const WHOLE_BYTES = 128_000;
/** What a changed row takes, about. */
const CHANGE_BYTES = 40;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = Pick<DurableObjectStorage, "list" | "put" | "delete" | "deleteAll">;

export class Checkpoint {
  readonly #storage: CheckpointStorage;
  /** The storage keys that are in use. */
  readonly #keys = new Set<string>();
  #number = 0;
  readonly #copies = new Map<string, TableCopy>();

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  /** One more after each `write` and `clear`. */
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

  /**
   * Writes what changed since the last time, and removes what is no longer needed.
   *
   * @throws what the storage does if it can't write; then the next call writes that too
   */
  async write(clockMs: number, tables: ReadonlyMap<string, CounterTable>): Promise<void> {
    this.#number++;
    const values = new Map<string, unknown>();
    for (const name of this.#copies.keys()) if (!tables.has(name)) this.#copies.delete(name);
    const changeBytes = this.changes * CHANGE_BYTES;
    for (const [name, table] of tables) this.#copyOf(name).compare(table);
    this.#writeSegments(values, changeBytes);
    for (const copy of this.#copies.values()) copy.writeChanges(values, this.#number);
    const used = this.#writeManifest(values, clockMs);
    const unused = [...this.#keys].filter((key) => !used.has(key));
    for (const key of unused) this.#keys.delete(key);
    for (const key of used) this.#keys.add(key);
    // No `await` before the last call: writes of one turn reach the disk together or not at all.
    // Unconfirmed: an answer need not wait for the disk, and a crash may lose one interval anyway.
    const options = { allowUnconfirmed: true };
    const number = this.#number;
    try {
      await Promise.all(
        chunks([...values]).map((some) => this.#storage.put(Object.fromEntries(some), options)),
      );
    } catch (error) {
      for (const copy of this.#copies.values()) copy.takeBack(number);
      for (const key of unused) this.#keys.add(key);
      throw error;
    }
    // Not before: what is on disk still counts where it could not be replaced. Some of it may be
    // in use again by now.
    const gone = unused.filter((key) => !this.#keys.has(key));
    await Promise.all(chunks(gone).map((some) => this.#storage.delete(some, options)));
  }

  /**
   * Writes one counter at once. The runtime holds back the answer until it is on disk.
   *
   * @param state undefined where the counter was deleted
   */
  async writeJournal(table: string, hash: KeyHash, state: State | undefined): Promise<void> {
    const key = `${JOURNAL}${table}/${idOf(hash)}`;
    this.#keys.add(key);
    const entry = writeJournalEntry({ table, ...hash, state: state ? [...state] : null });
    await this.#storage.put({ [key]: entry });
  }

  /** Deletes all that is on disk, and the alarm with it. */
  async clear(): Promise<void> {
    this.#number++;
    this.#keys.clear();
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

  /** Writes new segments, and of the stale ones those written longest ago, up to some bytes. */
  #writeSegments(values: Map<string, unknown>, changeBytes: number): void {
    const copies = [...this.#copies.values()].flatMap(({ segments }) => segments);
    const stale = copies.filter(({ isStale }) => isStale).sort((a, b) => a.number - b.number);
    let left = Math.max(WHOLE_BYTES, changeBytes);
    for (const copy of stale) {
      if (left <= 0 && copy.number > 0) break;
      const bytes = copy.segment.toBytes();
      for (const [key, piece] of toPieces(copy.storageKey, bytes)) values.set(key, piece);
      copy.bytes = bytes.length;
      copy.sum = checksum(bytes);
      copy.isStale = false;
      copy.writtenWith = this.#number;
      left -= bytes.length;
    }
    // What has not changed since is as good as written now.
    for (const copy of copies) if (!copy.isStale) copy.number = this.#number;
  }

  /** @returns all storage keys that are in use now */
  #writeManifest(values: Map<string, unknown>, clockMs: number): Set<string> {
    const tables: Record<string, TableParts> = {};
    const used = new Set([MANIFEST]);
    for (const [name, copy] of this.#copies) {
      tables[name] = copy.parts;
      for (const key of copy.storageKeys) used.add(key);
    }
    values.set(MANIFEST, writeManifest({ clockMs, number: this.#number, tables }));
    return used;
  }
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
