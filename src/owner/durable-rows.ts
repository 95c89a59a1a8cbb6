/**
 * Makes answers wait for the disk if a durable policy counted or an operator changed something. All
 * changes of one call are written at once.
 */
import type { Check } from "../counters/check.ts";

export class DurableRows {
  readonly #write: () => Promise<void> | undefined;
  #isDue = false;
  #written: Promise<unknown> | undefined;

  /** @param write writes all changes to disk; undefined if they are there already */
  constructor(write: () => Promise<void> | undefined) {
    this.#write = write;
  }

  /**
   * Resolves when all that was noted is on disk; rejects if it can't be written. Undefined if
   * nothing is on its way there.
   */
  get written(): Promise<unknown> | undefined {
    return this.#written;
  }

  /** Notes that a row was set or deleted that must be on disk before the answer. */
  note(): void {
    this.#isDue = true;
  }

  /** Notes a check that has counted, if one of its policies is durable. */
  noteCounted({ policies }: Check): void {
    this.#isDue ||= policies.some(({ durable }) => durable);
  }

  /** Writes what was noted; see `written`. */
  write(): void {
    if (!this.#isDue) return;
    this.#isDue = false;
    const writing = this.#write();
    if (writing) this.holdFor(writing);
  }

  /** Makes answers wait for this write, too; see `written`. */
  holdFor(writing: Promise<unknown>): void {
    const written = Promise.all([this.#written, writing]);
    const settle = () => {
      if (this.#written === written) this.#written = undefined;
    };
    this.#written = written;
    written.then(settle, settle);
  }
}
