/**
 * The tables of an owner, by policy: made when first needed, let go when all in them has expired,
 * kept within bounds.
 */
import type { Algorithm, State } from "../limit/algorithm.ts";
import { algorithmOf } from "../limit/algorithms.ts";
import { blockLeftMs } from "../limit/block-for.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import type { CounterPolicy } from "./check.ts";
import type { CounterTable } from "./counter-table.ts";
import { evictionCandidate } from "./eviction.ts";
import { BLOCKED, blocksName, isBlocks, newTable, tableName } from "./table-name.ts";

/**
 * The most that all rows of an owner take, bytes: 1.6 M keys of a fixed window, whose buffers then
 * take up to 67 MB of the isolate's 128.
 */
export const MAX_BYTES = 40_000_000;
/**
 * One new key in so many has rows looked at for expired ones, a power of two. A few rows each time
 * would be read from memory one by one; many in a row are there before they are needed.
 */
const SWEEP_EVERY = 16;
/** Rows looked at each time: 8 for each key that was added, so they can't pile up. */
const SWEEP_ROWS = 8 * SWEEP_EVERY;
/** Rows that each counter set drops at most: more than it adds, so that an overfull owner shrinks. */
const MAX_DROPS = 2;

export interface TablesOptions {
  /** The most that all rows take, bytes; the default is {@link MAX_BYTES}. */
  maxBytes?: number | undefined;
  /** Called after a key's counter in a table was set or deleted, but not when it was let go. */
  onChange?: (table: string, key: KeyHash) => void;
}

/** A policy as last asked for, and where it is counted. */
export interface Counted {
  policy: CounterPolicy;
  algorithm: Algorithm;
  /** The table's name. */
  name: string;
  /** Absent as long as nothing is counted. */
  table: CounterTable | undefined;
}

export class Tables {
  /** Rows that were dropped before they expired, to make room. */
  dropped = 0;
  readonly #byName = new Map<string, CounterTable>();
  /** The table of blocked keys, which every check looks at. */
  #blocked: CounterTable | undefined;
  readonly #maxBytes: number;
  readonly #onChange: (table: string, key: KeyHash) => void;
  /** The policies that have tables, by their names. */
  readonly #counted = new Map<string, Counted>();
  /** The one that was asked for last, as it is by most of a batch. */
  #last: Counted | undefined;

  constructor({ maxBytes = MAX_BYTES, onChange = () => {} }: TablesOptions) {
    this.#maxBytes = maxBytes;
    this.#onChange = onChange;
  }

  get byName(): ReadonlyMap<string, CounterTable> {
    return this.#byName;
  }

  /** What all rows take. */
  get bytes(): number {
    let bytes = 0;
    for (const table of this.#byName.values()) bytes += table.bytes;
    return bytes;
  }

  add(name: string, table: CounterTable): void {
    this.#byName.set(name, table);
    if (name === BLOCKED) this.#blocked = table;
  }

  drop(name: string): void {
    this.#byName.delete(name);
    if (name === BLOCKED) this.#blocked = undefined;
    this.#counted.clear();
    this.#last = undefined;
  }

  get(of: CounterPolicy | typeof BLOCKED, key: KeyHash): State | undefined {
    const table = of === BLOCKED ? this.#blocked : this.of(of).table;
    return table?.get(key);
  }

  set(of: CounterPolicy | typeof BLOCKED, key: KeyHash, state: State): void {
    if (of === BLOCKED) {
      this.put(BLOCKED, key, state);
    } else {
      const { name, table } = this.of(of);
      this.put(name, key, state, table);
    }
  }

  /** As `set`, in the table of that name. */
  put(name: string, key: KeyHash, state: State, table = this.#named(name)): void {
    table.set(key, state);
    this.#onChange(name, key);
  }

  delete(of: CounterPolicy | typeof BLOCKED, key: KeyHash): void {
    this.remove(of === BLOCKED ? BLOCKED : this.of(of).name, key);
  }

  /** As `delete`, from the table of that name. */
  remove(name: string, key: KeyHash): void {
    const table = this.#byName.get(name);
    if (!table) return;
    table.delete(key);
    // Told even if there was no row: one that was dropped may still be on disk.
    this.#onChange(name, key);
  }

  /**
   * Sets what a check has spent. Where that takes more room than before, lets go of a little that
   * expired, and, if full, of a row.
   */
  spend(policy: CounterPolicy, key: KeyHash, state: State, nowMs: number): void {
    const before = this.of(policy).table?.bytes ?? 0;
    this.set(policy, key, state);
    // Only now: what was set may be the first in its table.
    const { name, table } = this.of(policy);
    if (table && table.bytes > before) this.#keepWithin(name, table, key, nowMs);
  }

  /** Sets a policy's block, and lets go of others' rows, as `spend` does. */
  block(policy: CounterPolicy, key: KeyHash, state: State, nowMs: number): void {
    const name = blocksName(policy);
    const table = this.#named(name);
    const before = table.bytes;
    this.put(name, key, state, table);
    if (table.bytes > before) this.#keepWithin(name, table, key, nowMs);
  }

  blockOf(policy: CounterPolicy, key: KeyHash): State | undefined {
    return this.#byName.get(blocksName(policy))?.get(key);
  }

  #keepWithin(name: string, table: CounterTable, key: KeyHash, nowMs: number): void {
    if (key.lo % SWEEP_EVERY === 0) table.sweepSome(nowMs, SWEEP_ROWS);
    for (let drops = 0; drops < MAX_DROPS && this.bytes > this.#maxBytes; drops++) {
      this.#makeRoom(key, name, nowMs);
    }
  }

  /** Where a policy is counted. Remembered, since to make a table's name costs as much as a check. */
  of(policy: CounterPolicy): Counted {
    if (this.#last?.policy === policy) return this.#last;
    let counted = this.#counted.get(policy.name);
    if (!counted || !isCountedAlike(counted.policy, policy)) {
      const name = tableName(policy);
      const table = this.#byName.get(name);
      counted = { policy, algorithm: algorithmOf(policy), name, table };
      // Not remembered: it may have a table by the next time.
      if (!table) return counted;
      this.#counted.set(policy.name, counted);
    }
    counted.policy = policy;
    this.#last = counted;
    return counted;
  }

  /** @param rows how many to look at in each table; all if absent */
  sweep(nowMs: number, rows?: number): void {
    for (const [name, table] of this.#byName) {
      if (table.lastExpiryMs > nowMs) {
        if (rows === undefined) table.sweep(nowMs);
        else table.sweepSome(nowMs, rows);
      }
      if (table.size === 0 || table.lastExpiryMs <= nowMs) this.drop(name);
    }
  }

  /**
   * Drops a row of the largest table, or, where all that were looked at are denied and the new one
   * is not, the new one. A block is never dropped.
   */
  #makeRoom(newKey: KeyHash, newName: string, nowMs: number): void {
    const [name, table] = this.#largest();
    const least = evictionCandidate(table, newKey, (state) => this.#denies(name, state, nowMs));
    const newTable = this.#byName.get(newName);
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
    return [...this.#byName]
      .filter(([name]) => name !== BLOCKED)
      .reduce((largest, next) => (next[1].bytes > largest[1].bytes ? next : largest));
  }

  /** Would the policy whose table that is deny a unit now? Taken for granted if it is not known. */
  #denies(name: string, state: State, nowMs: number): boolean {
    if (isBlocks(name)) return blockLeftMs(state, nowMs) > 0;
    for (const { policy, algorithm, name: counted } of this.#counted.values()) {
      if (counted !== name) continue;
      return policy.limit === 0 || !algorithm.decide(state, policy, nowMs, 1).allowed;
    }
    return true;
  }

  #named(name: string): CounterTable {
    const table = this.#byName.get(name) ?? newTable(name);
    this.add(name, table);
    return table;
  }
}

/** Are both counted in one table, and in the same way? */
function isCountedAlike(one: CounterPolicy, other: CounterPolicy): boolean {
  return (
    one.algorithm === other.algorithm &&
    one.windowMs === other.windowMs &&
    one.start === other.start
  );
}
