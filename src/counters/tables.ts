/**
 * The tables of an owner: made when first needed, removed when all their rows have expired, and
 * kept within bounds, however many there are.
 */
import type { State } from "../limit/algorithm.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { CounterPolicy } from "./check.ts";
import type { CounterTable } from "./counter-table.ts";
import { evictionCandidate, type NamedTable, type RowId } from "./eviction.ts";
import { type PolicyTable, PolicyTables } from "./policy-tables.ts";
import { BLOCKED, newTable, policyNameOf } from "./table-name.ts";

/**
 * The most bytes that an owner's tables take: 1.6 M keys of a fixed window under one policy, or
 * 76,000 policies of one key each. That is up to 67 MB of the isolate's 128. If evictions have
 * thinned out larger tables, it is 80 MB.
 */
export const MAX_BYTES = 40_000_000;
/** About the bytes that a table takes besides its rows, its name and its policy included. */
export const TABLE_BYTES = 500;
/**
 * One new key in this many sweeps some rows; a power of two. Many rows in a sequence are prefetched
 * from memory. A few for each new key would each be waited for.
 */
const SWEEP_EVERY = 16;
/** Rows that each of these sweeps looks at: 8 for each new key, or expired ones could pile up. */
const SWEEP_ROWS = 8 * SWEEP_EVERY;
/** Looking at a table takes about as long as looking at this many of its rows. */
const TABLE_STEPS = 2;
/**
 * The most rows that a new row evicts: enough to make room for a new table, and for an overfull
 * owner to shrink.
 */
export const MAX_EVICTIONS = 64;
/** Tables that each eviction looks at, besides the largest one that earlier evictions found. */
const SAMPLE_TABLES = 16;

export interface TablesOptions {
  /** The most bytes that tables and rows take. Default {@link MAX_BYTES}. */
  maxBytes?: number | undefined;
  /** Called after a key's row was set, deleted or evicted, but not after it was swept. */
  onChange?: (table: string, key: KeyHash) => void;
  /** Called after a table was dropped with all its rows. */
  onDrop?: (table: string) => void;
}

export class Tables {
  /** Rows that were evicted before they expired. */
  evicted = 0;
  /** The table of keys that operators have blocked, which every check looks at. */
  blocks: CounterTable | undefined;
  /** The tables of overrides, by the names of their policies. */
  readonly overrides = new Map<string, CounterTable>();
  readonly #byName = new Map<string, CounterTable>();
  readonly #policies = new PolicyTables(this.#byName);
  readonly #maxBytes: number;
  readonly #onChange: (table: string, key: KeyHash) => void;
  readonly #onDrop: (table: string) => void;
  #size = 0;
  #bytes = 0;
  /** The table that sweeps have reached. */
  #swept: NamedTable | undefined;
  /** The tables that are swept after it, round and round. */
  readonly #toSweep = endless(this.#byName);
  /** The largest table that evictions have found. */
  #largest: NamedTable | undefined;
  /** The tables that evictions look at next, round and round. */
  readonly #toEvict = endless(this.#byName);

  constructor({ maxBytes = MAX_BYTES, onChange = () => {}, onDrop = () => {} }: TablesOptions) {
    this.#maxBytes = maxBytes;
    this.#onChange = onChange;
    this.#onDrop = onDrop;
  }

  /** All tables: those of policies (see `tableName`), of blocks, and of ring changes. */
  get byName(): ReadonlyMap<string, CounterTable> {
    return this.#byName;
  }

  /** Rows of all tables, expired ones included. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that all rows take, and {@link TABLE_BYTES} for each table. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The part of its bound that they take: from about 1 on, each new row evicts another. */
  get fill(): number {
    return this.#bytes / this.#maxBytes;
  }

  addTable(name: string, table: CounterTable): void {
    this.dropTable(name);
    this.#byName.set(name, table);
    this.#size += table.size;
    this.#bytes += table.bytes + TABLE_BYTES;
    if (name === BLOCKED) this.blocks = table;
    if (table.kind === "override") this.overrides.set(policyNameOf(name), table);
  }

  dropTable(name: string): void {
    const table = this.#byName.get(name);
    if (!table) return;
    this.#byName.delete(name);
    this.#size -= table.size;
    this.#bytes -= table.bytes + TABLE_BYTES;
    if (table === this.blocks) this.blocks = undefined;
    if (table.kind === "override") this.overrides.delete(policyNameOf(name));
    if (table === this.#swept?.[1]) this.#swept = undefined;
    if (table === this.#largest?.[1]) this.#largest = undefined;
    this.#policies.dropTable(name, table);
    this.#onDrop(name);
  }

  /** See {@link PolicyTables.tableFor}. */
  tableFor(policy: CounterPolicy): PolicyTable {
    return this.#policies.tableFor(policy);
  }

  get(name: string, key: KeyHash): State | undefined {
    return this.#byName.get(name)?.get(key);
  }

  /** @param table the table of that name, if the caller has it at hand */
  set(name: string, key: KeyHash, state: State, table = this.#named(name)): void {
    const { size, bytes } = table;
    table.set(key, state);
    this.#resum(table, size, bytes);
    this.#onChange(name, key);
  }

  delete(name: string, key: KeyHash): void {
    const table = this.#byName.get(name);
    if (!table) return;
    const { size, bytes } = table;
    table.delete(key);
    this.#resum(table, size, bytes);
    this.#onChange(name, key);
  }

  /**
   * Sets a row. If the tables grow by that, one call in `SWEEP_EVERY` sweeps some rows, and a full
   * owner evicts some.
   */
  setWithin(
    name: string,
    key: KeyHash,
    state: State,
    nowMs: number,
    table?: CounterTable | undefined,
  ): void {
    const before = this.#bytes;
    this.set(name, key, state, table);
    if (this.#bytes <= before) return;
    if (key.lo % SWEEP_EVERY === 0) this.sweep(nowMs, SWEEP_ROWS);
    for (let n = 0; n < MAX_EVICTIONS && this.#bytes > this.#maxBytes; n++) {
      this.#makeRoom({ table: name, key }, nowMs);
    }
  }

  /**
   * Goes on from where the last sweep stopped, and removes expired rows. Drops a table that is
   * empty, or whose rows have all expired.
   *
   * @param rows about how many rows to look at; all if absent, which takes time in proportion
   */
  sweep(nowMs: number, rows = Number.POSITIVE_INFINITY): void {
    let left = rows;
    for (let tables = this.#byName.size; tables > 0 && left > 0; tables--) {
      this.#swept ??= this.#toSweep.next().value;
      const [name, table] = this.#swept;
      left -= TABLE_STEPS;
      if (table.lastExpiryMs > nowMs) {
        const { size, bytes } = table;
        left = table.sweep(nowMs, Math.max(1, left));
        this.#resum(table, size, bytes);
      }
      if (table.size === 0 || table.lastExpiryMs <= nowMs) this.dropTable(name);
      if (left > 0) this.#swept = undefined;
    }
  }

  /** Removes each table whose rows have all expired. Takes time in proportion to the tables. */
  dropExpired(nowMs: number): void {
    for (const [name, { lastExpiryMs }] of this.#byName) {
      if (lastExpiryMs <= nowMs) this.dropTable(name);
    }
  }

  /**
   * Evicts a row of the largest table. The new row goes only if there is no other: otherwise, once
   * all others are denied, each new key would pass uncounted. An operator's block or override is
   * never evicted.
   */
  #makeRoom(newest: RowId, nowMs: number): void {
    const least = evictionCandidate(this.#largeTables(), newest, (table, state) =>
      this.#policies.denies(table, state, nowMs),
    );
    this.#evict(least ?? newest, !least || least.expiresAtMs > nowMs);
  }

  #evict({ table: name, key }: RowId, isLive: boolean): void {
    this.delete(name, key);
    if (isLive) this.evicted++;
    if (this.#byName.get(name)?.size === 0) this.dropTable(name);
  }

  /** Returns a sample of tables, the largest first, without operators' blocks and overrides. */
  #largeTables(): NamedTable[] {
    const tables = this.#largest ? [this.#largest] : [];
    for (let n = Math.min(SAMPLE_TABLES, this.#byName.size); n > 0; n--) {
      const named: NamedTable = this.#toEvict.next().value;
      const [, table] = named;
      const isKept = table === this.blocks || table.kind === "override";
      if (!isKept && table !== this.#largest?.[1]) tables.push(named);
    }
    tables.sort(([, one], [, other]) => other.bytes - one.bytes);
    this.#largest = tables[0];
    return tables;
  }

  #named(name: string): CounterTable {
    const table = this.#byName.get(name);
    if (table) return table;
    const made = newTable(name);
    this.addTable(name, made);
    return made;
  }

  #resum(table: CounterTable, size: number, bytes: number): void {
    this.#size += table.size - size;
    this.#bytes += table.bytes - bytes;
  }
}

/** Yields the entries of a map round and round. With an empty map, `next` never returns. */
function* endless<Key, Value>(map: ReadonlyMap<Key, Value>): Generator<[Key, Value], never> {
  for (;;) yield* map;
}
