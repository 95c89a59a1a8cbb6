/**
 * The tables of an owner: made when first needed, removed when all their rows have expired, and
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
 * The most bytes that all rows of an owner take: 1.6 M keys of a fixed window. Their buffers then
 * take up to 67 MB of the isolate's 128.
 */
export const MAX_BYTES = 40_000_000;
/**
 * One new key in this many sweeps some rows; a power of two. A few rows for each key would be read
 * from memory one by one; many in a row are there before they are needed.
 */
const SWEEP_EVERY = 16;
/**
 * Rows that each of these sweeps looks at: 8 for each new key, so that expired ones can't pile up.
 */
const SWEEP_ROWS = 8 * SWEEP_EVERY;
/** The most rows that each new one evicts: more than one, so that an overfull owner shrinks. */
const MAX_DROPS = 2;

export interface TablesOptions {
  /** The most bytes that all rows take. Default {@link MAX_BYTES}. */
  maxBytes?: number | undefined;
  /** Called after a key's row was set or deleted, but not after it was evicted or swept. */
  onChange?: (table: string, key: KeyHash) => void;
}

/** A policy as last asked for, and where it is counted. */
export interface Counted {
  policy: CounterPolicy;
  algorithm: Algorithm;
  /** The table's name. */
  name: string;
  /** Absent until something is counted. */
  table: CounterTable | undefined;
}

export class Tables {
  /** Rows that were evicted before they expired. */
  dropped = 0;
  readonly #byName = new Map<string, CounterTable>();
  /** The table of keys that operators have blocked, which every check looks at. */
  #blocked: CounterTable | undefined;
  readonly #maxBytes: number;
  readonly #onChange: (table: string, key: KeyHash) => void;
  /** The policies that have tables, by their names. */
  readonly #counted = new Map<string, Counted>();
  /** The policy asked for last: most of a batch asks for it again. */
  #last: Counted | undefined;

  constructor({ maxBytes = MAX_BYTES, onChange = () => {} }: TablesOptions) {
    this.#maxBytes = maxBytes;
    this.#onChange = onChange;
  }

  get byName(): ReadonlyMap<string, CounterTable> {
    return this.#byName;
  }

  /** Bytes that all rows take. */
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

  get(policy: CounterPolicy, key: KeyHash): State | undefined {
    return this.of(policy).table?.get(key);
  }

  /** When the block of a key ends, ms since the epoch; 0 if there is none. */
  blockedUntilMs(key: KeyHash): number {
    return this.#blocked?.get(key)?.[0] ?? 0;
  }

  set(policy: CounterPolicy, key: KeyHash, state: State): void {
    const { name, table } = this.of(policy);
    this.put(name, key, state, table);
  }

  /** Does the same as `set`, by the table's name. */
  put(name: string, key: KeyHash, state: State, table = this.#named(name)): void {
    table.set(key, state);
    this.#onChange(name, key);
  }

  delete(policy: CounterPolicy, key: KeyHash): void {
    this.remove(this.of(policy).name, key);
  }

  /** Does the same as `delete`, by the table's name. */
  remove(name: string, key: KeyHash): void {
    const table = this.#byName.get(name);
    if (!table) return;
    table.delete(key);
    // Reported even if there was no row: an evicted one may still be on disk.
    this.#onChange(name, key);
  }

  /**
   * Sets what a check has spent. If that takes more room, sweeps a few rows now and then, and
   * evicts some if the owner is full.
   */
  spend(policy: CounterPolicy, key: KeyHash, state: State, nowMs: number): void {
    const before = this.of(policy).table?.bytes ?? 0;
    this.set(policy, key, state);
    // Looked up again: the first row makes the table.
    const { name, table } = this.of(policy);
    if (table && table.bytes > before) this.#keepWithin(name, table, key, nowMs);
  }

  /** Sets a policy's block; sweeps and evicts as `spend` does. */
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

  /**
   * Returns where a policy is counted. Remembered, since to make a table's name costs as much as a
   * check.
   */
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
   * Evicts a row of the largest table. If every sampled key is denied and the new one is not,
   * evicts the new one: to forget a denied key would let it pass. An operator's block is never
   * evicted.
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

  /**
   * Would the policy of that table deny a key in this state one unit now? Yes, if the policy is
   * unknown.
   */
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
