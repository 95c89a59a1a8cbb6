/**
 * The checkpoint: an owner's counters on disk.
 *
 * One manifest, and the tables' rows in pieces that stay under the 2 MB a storage value may have.
 * Written whole each time. Read whole or not at all: what is cut short or of another version is
 * refused, and the owner starts fresh.
 */
import * as v from "valibot";
import { parse } from "../limit/misuse.ts";
import { CounterTable, ROW_BYTES } from "./counter-table.ts";

const VERSION = 1;
const MANIFEST = "checkpoint";
const PIECE_BYTES = 60_000 * ROW_BYTES;
/** The most keys that one `put` or `delete` takes. */
const MAX_KEYS_A_CALL = 128;

const countSchema = v.pipe(v.number("must be a number"), v.minValue(0, "must not be negative"));

const manifestSchema = v.strictObject({
  version: v.literal(VERSION, `must be ${VERSION}`),
  /** The owner's clock when it was written, ms since the epoch. */
  clockMs: countSchema,
  /** Rows in each table, by its name. */
  rows: v.record(v.string(), countSchema),
});

/** The part of a Durable Object's storage that a checkpoint needs. */
export type CheckpointStorage = Pick<DurableObjectStorage, "list" | "put" | "delete">;

export interface Checkpoint {
  /** The owner's clock, ms since the epoch. */
  clockMs: number;
  tables: Map<string, CounterTable>;
}

/**
 * Writes the tables, and removes the pieces of an earlier checkpoint that are no more.
 *
 * @param keys the storage keys that the earlier checkpoint takes; brought up to date at once
 */
export async function writeCheckpoint(
  storage: CheckpointStorage,
  { clockMs, tables }: Checkpoint,
  keys: Set<string>,
): Promise<void> {
  const entries = new Map<string, unknown>();
  const rows: Record<string, number> = {};
  for (const [name, table] of tables) {
    const bytes = table.toBytes();
    rows[name] = table.size;
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      entries.set(pieceKey(name, start), bytes.slice(start, start + PIECE_BYTES));
    }
  }
  entries.set(MANIFEST, { version: VERSION, clockMs, rows });
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
 * Reads the checkpoint; undefined if there is none.
 *
 * @returns it, and the storage keys it takes
 * @throws {MisuseError} if it is not whole or not of this version
 */
export async function readCheckpoint(
  storage: CheckpointStorage,
): Promise<(Checkpoint & { keys: Set<string> }) | undefined> {
  const entries = await storage.list({ prefix: MANIFEST });
  if (entries.size === 0) return undefined;
  const { clockMs, rows } = parse(manifestSchema, entries.get(MANIFEST), MANIFEST);
  const tables = new Map<string, CounterTable>();
  for (const [name, count] of Object.entries(rows)) {
    const bytes = new Uint8Array(count * ROW_BYTES);
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      const key = pieceKey(name, start);
      const length = Math.min(PIECE_BYTES, bytes.length - start);
      const rule = `must be ${length} bytes`;
      const piece = v.pipe(v.instance(Uint8Array, rule), v.length(length, rule));
      bytes.set(parse(piece, entries.get(key), key), start);
    }
    tables.set(name, new CounterTable(bytes));
  }
  return { clockMs, tables, keys: new Set(entries.keys()) };
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
