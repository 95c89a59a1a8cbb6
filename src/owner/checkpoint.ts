/**
 * What an owner has on disk: a checkpoint of its counters, and a journal of the durable ones since.
 *
 * The checkpoint is one manifest, and the tables' rows in pieces that stay under the 2 MB a storage
 * value may have. Written whole each time. Read whole or not at all: what is cut short or of
 * another version is refused, and the owner starts fresh.
 */
import * as v from "valibot";
import type { State } from "../limit/algorithm.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { newTable, type Table, tableOf } from "./counters.ts";

const VERSION = 1;
const MANIFEST = "checkpoint";
const JOURNAL = "journal";
const PIECE_BYTES = 1_500_000;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;

const numberSchema = v.pipe(v.number("must be a number"), v.minValue(0, "must not be negative"));

const manifestSchema = v.strictObject({
  version: v.literal(VERSION, `must be ${VERSION}`),
  /** The owner's clock when it was written, ms since the epoch. */
  clockMs: numberSchema,
  /** Length of each table, by its name. */
  bytes: v.record(v.string(), numberSchema),
});

const journalSchema = v.strictObject({
  table: v.string("must be text"),
  hi: numberSchema,
  lo: numberSchema,
  /** Null where it was deleted. */
  state: v.nullable(v.array(numberSchema, "must be a list")),
});

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = Pick<DurableObjectStorage, "list" | "put" | "delete">;

export interface Checkpoint {
  /** The owner's clock, ms since the epoch. */
  clockMs: number;
  tables: Map<string, Table>;
}

/**
 * Writes the tables, and removes what an earlier checkpoint and the journal no longer need.
 *
 * @param keys the storage keys that are in use; brought up to date at once
 */
export async function writeCheckpoint(
  storage: CheckpointStorage,
  { clockMs, tables }: Checkpoint,
  keys: Set<string>,
): Promise<void> {
  const entries = new Map<string, unknown>();
  const lengths: Record<string, number> = {};
  for (const [name, table] of tables) {
    const bytes = table.toBytes();
    lengths[name] = bytes.length;
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      entries.set(pieceKey(name, start), bytes.slice(start, start + PIECE_BYTES));
    }
  }
  entries.set(MANIFEST, { version: VERSION, clockMs, bytes: lengths });
  const stale = [...keys].filter((key) => !entries.has(key));
  for (const key of stale) keys.delete(key);
  for (const key of entries.keys()) keys.add(key);
  // No `await` before the last call: writes of one turn reach the disk together or not at all.
  // Unconfirmed: an answer need not wait for the disk, and a crash may lose one interval anyway.
  const options = { allowUnconfirmed: true };
  await Promise.all([
    ...chunks([...entries]).map((some) => storage.put(Object.fromEntries(some), options)),
    ...chunks(stale).map((some) => storage.delete(some, options)),
  ]);
}

/**
 * Writes one counter at once. The runtime holds back the answer until it is on disk.
 *
 * @param state undefined where the counter was deleted
 * @param keys the storage keys that are in use; brought up to date
 */
export async function writeJournal(
  storage: CheckpointStorage,
  table: string,
  { hi, lo }: KeyHash,
  state: State | undefined,
  keys: Set<string>,
): Promise<void> {
  const key = `${JOURNAL}/${table}/${hi}:${lo}`;
  keys.add(key);
  await storage.put({ [key]: { table, hi, lo, state: state ?? null } });
}

/**
 * Reads the checkpoint with the journal on top; undefined if there is neither.
 *
 * @returns it, and the storage keys it takes
 * @throws {MisuseError} if it is not whole or not of this version
 */
export async function readCheckpoint(
  storage: CheckpointStorage,
): Promise<(Checkpoint & { keys: Set<string> }) | undefined> {
  const entries = await storage.list();
  if (entries.size === 0) return undefined;
  const tables = new Map<string, Table>();
  let clockMs = 0;
  if ([...entries.keys()].some((key) => key.startsWith(MANIFEST))) {
    const manifest = parse(manifestSchema, entries.get(MANIFEST), MANIFEST);
    ({ clockMs } = manifest);
    for (const [name, length] of Object.entries(manifest.bytes)) {
      tables.set(name, newTable(name, readPieces(entries, name, length)));
    }
  }
  for (const [key, entry] of entries) {
    if (!key.startsWith(`${JOURNAL}/`)) continue;
    const { table, hi, lo, state } = parse(journalSchema, entry, key);
    if (state) tableOf(tables, table).set({ hi, lo }, state as unknown as State);
    else tables.get(table)?.delete({ hi, lo });
  }
  return { clockMs, tables, keys: new Set(entries.keys()) };
}

function readPieces(
  entries: Map<string, unknown>,
  name: string,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let start = 0; start < length; start += PIECE_BYTES) {
    const key = pieceKey(name, start);
    const piece = entries.get(key);
    const pieceLength = Math.min(PIECE_BYTES, length - start);
    if (!(piece instanceof Uint8Array) || piece.length !== pieceLength) {
      throw new MisuseError(key, `must be ${pieceLength} bytes`, typeof piece);
    }
    bytes.set(piece, start);
  }
  return bytes;
}

function pieceKey(table: string, start: number): string {
  return `${MANIFEST}/${table}/${start / PIECE_BYTES}`;
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += MAX_KEYS_A_CALL) {
    parts.push(items.slice(start, start + MAX_KEYS_A_CALL));
  }
  return parts;
}
