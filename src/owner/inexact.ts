/**
 * Which counts may be off, and since when: the one place where an owner's answer gets `inexact`.
 *
 * Counts get lost in four ways:
 * - A previous owner does not answer: the counts of one key.
 * - A previous owner is given up: those of all its keys.
 * - The disk is damaged: those of any key.
 * - The owner crashes: those of any key under policies that are not durable.
 *
 * A loss matters for as long as anything counted under a policy does. With a window of a minute,
 * all is exact again two minutes later.
 */

import type { Check, CounterPolicy } from "../counters/check.ts";
import { INEXACT } from "../counters/table-name.ts";
import type { Tables } from "../counters/tables.ts";
import type { State } from "../limit/algorithm.ts";
import type { DiskLosses } from "../protocol/rpc.ts";
import type { KeyHash } from "../ring/key-hash.ts";

/** Counts that got lost at one time. */
export interface Loss {
  /** Ms since the epoch. */
  atMs: number;
  /** Returns true if counts of the key were among them. */
  includes: (key: KeyHash) => boolean;
}

const NEVER_MS = Number.NEGATIVE_INFINITY;

export class InexactCounts {
  /** A row of the table `INEXACT` has two times: when it expires, and when counts got lost. */
  readonly #tables: Tables;
  #losses: readonly Loss[] = [];
  /** When a single key's counts got lost last, ms since the epoch. */
  #keyLostMs = NEVER_MS;
  /** When counts of any key got lost on disk last, ms since the epoch. */
  #lostMs = NEVER_MS;
  /** When a crash last lost counts of policies that are not durable, ms since the epoch. */
  #crashedMs = NEVER_MS;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Notes the rows that were read from disk. */
  load(): void {
    for (const segment of this.#tables.byName.get(INEXACT)?.segments ?? []) {
      segment.visit((_, state) => this.noteRow(INEXACT, state));
    }
  }

  /**
   * Notes what got lost on this owner's disk, or on that of an owner whose keys it has imported.
   */
  noteDisk({ lostMs, crashedMs }: DiskLosses): void {
    this.#lostMs = lostMs || NEVER_MS;
    this.#crashedMs = crashedMs || NEVER_MS;
  }

  /** Notes a row that was read or imported, if it is one of the table `INEXACT`. */
  noteRow(table: string, [, lostMs = NEVER_MS]: State): void {
    if (table === INEXACT) this.#keyLostMs = Math.max(this.#keyLostMs, lostMs);
  }

  /** Replaces the losses of more than one key. */
  setLosses(losses: readonly Loss[]): void {
    this.#losses = losses;
  }

  /** Returns for each check whether some of its count may be lost; undefined if all are exact. */
  of(checks: readonly Check[], nowMs: number): boolean[] | undefined {
    const onceMs = Math.max(this.#keyLostMs, this.#lostMs, this.#crashedMs);
    if (this.#losses.length === 0 && onceMs === NEVER_MS) return undefined;
    const lastMs = this.#losses.reduce((ms, { atMs }) => Math.max(ms, atMs), onceMs);
    const inexact = checks.map(({ key, policies }) => {
      const sinceMs = nowMs - longestMatterMs(policies);
      // Most losses are too old to matter. Then no key is looked up.
      if (lastMs <= sinceMs) return false;
      if (this.#lostMs > sinceMs) return true;
      if (this.#crashedMs > sinceMs && policies.some(({ durable }) => !durable)) return true;
      const lostMs = this.#tables.get(INEXACT, key)?.[1] ?? NEVER_MS;
      return lostMs > sinceMs || this.#losses.some((it) => it.atMs > sinceMs && it.includes(key));
    });
    return inexact.includes(true) ? inexact : undefined;
  }
}

/** Returns how long anything counted under policies can matter. */
function longestMatterMs(policies: readonly CounterPolicy[]): number {
  let longestMs = 0;
  for (const { windowMs, capacity, limit, blockFor } of policies) {
    const countMs = Math.max(2 * windowMs, Math.ceil((capacity / (limit || 1)) * windowMs));
    // A block, and the time in which it makes the next one longer.
    longestMs = Math.max(longestMs, countMs, 3 * (blockFor?.maxMs ?? 0));
  }
  return longestMs;
}
