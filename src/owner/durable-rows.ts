/**
 * Rows that must be on disk before an answer leaves: what durable policies counted, and what
 * operators did. All rows of one call are appended at once.
 */
import type { Check } from "../counters/check.ts";
import type { Counters } from "../counters/counters.ts";
import { ANSWERS, holdsName, tableName } from "../counters/table-name.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { Changes } from "./checkpoint/changes.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import type { Schedule } from "./schedule.ts";

export interface DurableRowsOptions {
  counters: Counters;
  checkpoint: Checkpoint;
  schedule: Schedule;
}

export class DurableRows {
  readonly #options: DurableRowsOptions;
  #changes = new Changes();
  #written: Promise<unknown> | undefined;

  constructor(options: DurableRowsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when all that was appended is on disk; rejects if it can't be written. Undefined if
   * nothing is on its way there.
   */
  get written(): Promise<unknown> | undefined {
    return this.#written;
  }

  /** Notes a row that was set or deleted. */
  add(table: string, key: KeyHash): void {
    this.#changes.add(table, key);
  }

  /** Notes what durable policies have counted. */
  addCounted({ key, policies, requestId }: Check): void {
    for (const policy of policies) {
      if (!policy.durable) continue;
      const table = tableName(policy);
      this.add(table, key);
      // A hold must not come back from the disk without what it has spent, or after it is settled.
      this.add(holdsName(table), key);
      if (requestId !== undefined) this.add(ANSWERS, key);
    }
  }

  /** Appends what was noted; see `written`. */
  append(): void {
    const changes = this.#changes;
    if (changes.isEmpty) return;
    this.#changes = new Changes();
    const { counters, checkpoint, schedule } = this.#options;
    const tables = counters.tables.byName;
    // Without a table, nothing on disk matters: an object without clients stays empty.
    if (![...changes.keys.keys()].some((table) => tables.has(table))) return;
    // After a crash, keys that are not on disk yet are imported again, over these rows. So they
    // must reach the disk with them.
    const saving = schedule.hasImports ? schedule.save() : undefined;
    this.holdFor(Promise.all([saving, checkpoint.append(changes, tables)]));
  }

  /** Makes answers wait until something is written; see `written`. */
  holdFor(writing: Promise<unknown>): void {
    const written = Promise.all([this.#written, writing]);
    const settle = () => {
      if (this.#written === written) this.#written = undefined;
    };
    this.#written = written;
    written.then(settle, settle);
  }
}
