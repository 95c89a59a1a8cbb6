/**
 * The tables of an owner, by policy: made when first needed, let go when all in them has expired,
 * kept within bounds.
 */
import type { State } from "../limit/algorithm.ts";
import { ALGORITHMS } from "../limit/algorithms.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { CounterPolicy } from "./check.ts";
import type { CounterTable } from "./counter-table.ts";
import { leastWanted } from "./room.ts";
import { BLOCKED, newTable, tableName } from "./table-kind.ts";

/**
 * The most that all rows of an owner take, bytes: 1.6 M keys of a fixed window, whose buffers then
 * take up to 67 MB of the isolate's 128.
 */
export const MAX_BYTES = 40_000_000;
/**
 * One key in so many has its checks look at rows for expired ones, a power of two. A few rows each
 * time would be read from memory one by one; many in a row are there before they are needed.
 */
const SWEEP_EVERY = 16;
/** Rows looked at each time: 8 for each key that can have been added, so they can't pile up. */
const SWEEP_ROWS = 8 * SWEEP_EVERY;
/** Rows that each counter set drops at most: more than it adds, so that an overfull owner shrinks. */
const MAX_DROPS = 2;

export interface TablesOptions {
  /** The most that all rows take, bytes; the default is {@link MAX_BYTES}. */
  maxBytes?: number | undefined;
  /** Called after a key's counter in a table was set or deleted, but not when it was let go. */
  onChange?: (table: string, key: KeyHash) => void;
}

export class Tables {
  readonly byName = new Map<string, CounterTable>();
  /** Rows that were dropped before they expired, to make room. */
  dropped = 0;
  readonly #maxBytes: number;
  readonly #onChange: (table: string, key: KeyHash) => void;
  /** The policies as last asked for, by their names, and the names of their tables. */
  readonly #asked = new Map<string, { policy: CounterPolicy; table: string }>();

  constructor({ maxBytes = MAX_BYTES, onChange = () => {} }: TablesOptions) {
    this.#maxBytes = maxBytes;
    this.#onChange = onChange;
  }

  get(of: CounterPolicy | typeof BLOCKED, key: KeyHash): State | undefined {
    return this.byName.get(this.#nameOf(of))?.get(key);
  }

  set(of: CounterPolicy | typeof BLOCKED, key: KeyHash, state: State): void {
    this.put(this.#nameOf(of), key, state);
  }

  /** As `set`, in the table of that name. */
  put(name: string, key: KeyHash, state: State): void {
    let table = this.byName.get(name);
    if (!table) {
      table = newTable(name);
      this.byName.set(name, table);
    }
    table.set(key, state);
    this.#onChange(name, key);
  }

  delete(of: CounterPolicy | typeof BLOCKED, key: KeyHash): void {
    this.remove(this.#nameOf(of), key);
  }

  /** As `delete`, from the table of that name. */
  remove(name: string, key: KeyHash): void {
    const table = this.byName.get(name);
    if (!table) return;
    table.delete(key);
    // Told even if there was no row: one that was dropped may still be on disk.
    this.#onChange(name, key);
  }

  /** Sets what a check has spent; lets go of a little that expired, and, if full, of a row. */
  spend(policy: CounterPolicy, key: KeyHash, state: State, nowMs: number): void {
    this.set(policy, key, state);
    const name = this.#nameOf(policy);
    if (this.#asked.get(policy.name)?.table !== name) {
      this.#asked.set(policy.name, { policy, table: name });
    }
    if (key.lo % SWEEP_EVERY === 0) this.byName.get(name)?.sweepSome(nowMs, SWEEP_ROWS);
    for (let drops = 0; drops < MAX_DROPS && this.#bytes() > this.#maxBytes; drops++) {
      this.#makeRoom(key, name, nowMs);
    }
  }

  /** @param rows how many to look at in each table; all if absent */
  sweep(nowMs: number, rows?: number): void {
    for (const [name, table] of this.byName) {
      if (table.lastExpiryMs > nowMs) {
        if (rows === undefined) table.sweep(nowMs);
        else table.sweepSome(nowMs, rows);
      }
      if (table.size > 0 && table.lastExpiryMs > nowMs) continue;
      this.byName.delete(name);
      this.#asked.clear();
    }
  }

  #bytes(): number {
    let bytes = 0;
    for (const table of this.byName.values()) bytes += table.bytes;
    return bytes;
  }

  /**
   * Drops a row of the largest table, or, where all that were looked at are denied and the new one
   * is not, the new one. A block is never dropped.
   */
  #makeRoom(newKey: KeyHash, newName: string, nowMs: number): void {
    const [name, table] = this.#largest();
    const least = leastWanted(table, newKey, (state) => this.#denies(name, state, nowMs));
    const newTable = this.byName.get(newName);
    const newState = newTable?.get(newKey);
    if (!least || (least.denied && newState && !this.#denies(newName, newState, nowMs))) {
      newTable?.delete(newKey);
      this.dropped++;
    } else {
      table.delete(least.key);
      if (least.expiresAtMs > nowMs) this.dropped++;
    }
  }

  #largest(): [string, CounterTable] {
    return [...this.byName]
      .filter(([name]) => name !== BLOCKED)
      .reduce((largest, next) => (next[1].bytes > largest[1].bytes ? next : largest));
  }

  /** Would the policy whose table that is deny a unit now? Taken for granted if it is not known. */
  #denies(name: string, state: State, nowMs: number): boolean {
    for (const { policy, table } of this.#asked.values()) {
      if (table !== name) continue;
      return !ALGORITHMS[policy.algorithm].decide(state, policy, nowMs, 1).allowed;
    }
    return true;
  }

  /** What `tableName` gives, remembered: to make the text costs as much as a check. */
  #nameOf(policy: CounterPolicy | typeof BLOCKED): string {
    if (policy === BLOCKED) return BLOCKED;
    const asked = this.#asked.get(policy.name);
    if (asked?.policy.algorithm !== policy.algorithm) return tableName(policy);
    if (asked.policy.windowMs !== policy.windowMs) return tableName(policy);
    asked.policy = policy;
    return asked.table;
  }
}
