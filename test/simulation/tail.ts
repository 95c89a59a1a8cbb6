/** What one life of an owner has counted and is not on disk yet: what a crash loses. */
import { HEAD, LOG } from "../../src/owner/checkpoint/format.ts";
import type { DiskWatcher } from "./disk.ts";
import type { Account } from "./ledger.ts";

export interface Entry {
  account: Account;
  units: number;
  atMs: number;
}

/** Stands for the number of a write that has yet to be made. */
const UNWRITTEN = Number.POSITIVE_INFINITY;

export class Tail implements DiskWatcher {
  #entries: (Entry & { write: number })[] = [];
  #blocks: { id: string; write: number }[] = [];
  /** The number of the last write that had a log value. */
  #log = UNWRITTEN;
  /** The number of the last checkpoint since the batch began. */
  #checkpoint = UNWRITTEN;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Keys that were blocked. */
  get blocks(): string[] {
    return this.#blocks.map(({ id }) => id);
  }

  /** Call this before the owner counts a batch. */
  counting(): void {
    this.#checkpoint = UNWRITTEN;
  }

  /** Enters what the owner has counted in the batch, after it has written what it writes for it. */
  counted(entry: Entry): void {
    const write = entry.account.durable ? this.#log : this.#checkpoint;
    this.#entries.push({ ...entry, write });
  }

  /** Enters a key's block, after the owner has written it. */
  blocked(id: string): void {
    this.#blocks.push({ id, write: this.#log });
  }

  wrote(key: string, number: number): void {
    if (key.startsWith(LOG)) this.#log = number;
    // A checkpoint has everything. If all is deleted, there is nothing to have.
    if (key !== HEAD && key !== "") return;
    this.#checkpoint = number;
    for (const each of [...this.#entries, ...this.#blocks]) {
      each.write = Math.min(each.write, number);
    }
  }

  durable(number: number): void {
    this.#entries = this.#entries.filter(({ write }) => write > number);
    this.#blocks = this.#blocks.filter(({ write }) => write > number);
  }
}
