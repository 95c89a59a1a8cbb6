/**
 * Replaces what version 4 left on disk with a log: segments with free slots, in pieces; rows that
 * changed later; single rows in a journal; and a manifest that says which of these count. A version
 * after 5 may delete this file.
 */
import { type CounterTable, segmentOf } from "../../counters/counter-table.ts";
import { decodeRows } from "../../counters/segment.ts";
import { newTable, stateNumbersOf } from "../../counters/table-name.ts";
import type { State } from "../../limit/algorithm.ts";
import { InvalidError } from "../../limit/misuse.ts";
import type { KeyHash } from "../../ring/key-hash.ts";
import { checksum, HEAD, LOG, NEW_HEAD } from "./format.ts";
import { PAGE, removeAll, replaceByLog, type WriteStorage } from "./pages.ts";
import { named, type ReadStorage, scan } from "./reader.ts";

const VERSION = 4;
const MANIFEST = "checkpoint";
const JOURNAL = "journal/";
const PIECE_BYTES = 64_000;
/** Numbers in the manifest for each part: the checkpoint that wrote it, its length and its sum. */
const PART_NUMBERS = 3;

interface Manifest {
  version: number;
  clockMs: number;
  number: number;
  tables: Record<string, { segments: number[]; changes: number[] }>;
}

interface JournalEntry extends KeyHash {
  table: string;
  /** Null if the row was deleted. */
  state: number[] | null;
}

/**
 * Replaces what version 4 wrote, if version 4 wrote last. If that is interrupted, the next start
 * does it again.
 *
 * @throws {InvalidError} if it is not whole
 */
export async function replaceVersion4(storage: WriteStorage): Promise<void> {
  if (await isVersion4(storage)) {
    const tables = new Map<string, CounterTable>();
    const { clockMs, number } = await readVersion4(storage, tables);
    // Version 5 may have run before, until version 4 was put back.
    await removeAll(storage, [PAGE, LOG]);
    await replaceByLog(storage, tables, { ...NEW_HEAD, clockMs, sequence: number });
    // Without the manifest, the rest is no checkpoint.
    await storage.delete([MANIFEST]);
  }
  await removeAll(storage, [`${MANIFEST}/`, JOURNAL]);
}

/** Returns true if version 4 wrote last. Version 5 deletes the manifest. */
async function isVersion4(storage: ReadStorage): Promise<boolean> {
  if ((await storage.get(MANIFEST)) !== undefined) return true;
  if ((await storage.get(HEAD)) !== undefined) return false;
  for (const prefix of [MANIFEST, JOURNAL]) {
    if ((await storage.list({ prefix, limit: 1 })).size > 0) return true;
  }
  return false;
}

/** @param tables where the tables are put */
async function readVersion4(
  storage: ReadStorage,
  tables: Map<string, CounterTable>,
): Promise<{ clockMs: number; number: number }> {
  const hasParts = (await storage.list({ prefix: MANIFEST, limit: 1 })).size > 0;
  const manifest: Manifest = hasParts
    ? unsummed<Manifest>(await storage.get(MANIFEST), MANIFEST)
    : { version: VERSION, clockMs: 0, number: 0, tables: {} };
  if (manifest.version !== VERSION) {
    throw new InvalidError(`${MANIFEST}.version`, `must be ${VERSION}`, manifest.version);
  }
  for (const [name, parts] of Object.entries(manifest.tables)) {
    tables.set(name, await readTable(storage, name, parts));
  }
  for await (const [key, entry] of scan(storage, JOURNAL)) {
    const { table: name, state, hi, lo } = unsummed<JournalEntry>(entry, key);
    const table = named(tables, name);
    if (state) table.set({ hi, lo }, state as unknown as State);
    else table.delete({ hi, lo });
  }
  return manifest;
}

async function readTable(
  storage: ReadStorage,
  name: string,
  { segments, changes }: Manifest["tables"][string],
): Promise<CounterTable> {
  const table = newTable(name);
  const parts = partsOf(segments);
  for (const [index, part] of parts.entries()) {
    const bytes = await readPart(storage, `${MANIFEST}/${name}/segment/${index}`, part);
    eachRow(name, bytes, (key, state) => table.set(key, state));
  }
  for (const part of partsOf(changes)) {
    const bytes = await readPart(storage, `${MANIFEST}/${name}/changes`, part);
    decodeRows(bytes, (key, state) => {
      // This segment was written later, so it has this change or a newer one.
      if ((parts[segmentOf(key, parts.length)]?.number ?? 0) >= part.number) return;
      if (state) table.set(key, state);
      else table.delete(key);
    });
  }
  return table;
}

/** Visits the rows of a segment. Rows of one size stand in slots; a free slot has no expiry. */
function eachRow(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  visit: (key: KeyHash, state: State) => void,
): void {
  const stateNumbers = stateNumbersOf(name);
  if (!stateNumbers) {
    decodeRows(bytes, (key, state) => state && visit(key, state));
    return;
  }
  const numbers = new Float64Array(bytes.buffer);
  const words = new Uint32Array(bytes.buffer);
  for (let at = 0; at < numbers.length; at += stateNumbers + 1) {
    if (numbers[at + 1] === 0) continue;
    const key = { hi: words[2 * at] as number, lo: words[2 * at + 1] as number };
    visit(key, [...numbers.subarray(at + 1, at + 1 + stateNumbers)] as unknown as State);
  }
}

interface Part {
  number: number;
  bytes: number;
  sum: number;
}

function partsOf(numbers: readonly number[]): Part[] {
  return Array.from({ length: numbers.length / PART_NUMBERS }, (_, at) => {
    const [number = 0, bytes = 0, sum = 0] = numbers.slice(at * PART_NUMBERS);
    return { number, bytes, sum };
  });
}

/** Puts the pieces of a part together again. */
async function readPart(
  storage: ReadStorage,
  place: string,
  { number, bytes: length, sum }: Part,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const key = `${place}/${number}`;
  for (let nth = 0; nth < Math.max(1, Math.ceil(length / PIECE_BYTES)); nth++) {
    const piece = await storage.get(`${key}/${nth}`);
    const at = nth * PIECE_BYTES;
    if (!(piece instanceof Uint8Array) || piece.length !== Math.min(PIECE_BYTES, length - at)) {
      throw new InvalidError(`${key}/${nth}`, "must be a whole piece", typeof piece);
    }
    bytes.set(piece, at);
  }
  const found = checksum(bytes);
  if (found !== sum) throw new InvalidError(key, `must have the checksum ${sum}`, found);
  return bytes;
}

/** @throws {InvalidError} if the checksum is wrong */
function unsummed<Written extends object>(value: unknown, at: string): Written {
  const { sum, ...written } = Object(value) as Written & { sum: unknown };
  const json = new TextEncoder().encode(JSON.stringify(written)) as Uint8Array<ArrayBuffer>;
  const found = checksum(json);
  if (found !== sum) throw new InvalidError(at, `must have the checksum ${sum}`, found);
  return written as unknown as Written;
}
