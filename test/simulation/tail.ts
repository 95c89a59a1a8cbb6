/** What one life of an owner has counted and is not on disk yet: what a crash loses. */
import { HEAD, LOG } from "../../src/owner/checkpoint/format.ts";
import type { DiskWatcher } from "./disk.ts";
import type { Account } from "./ledger.ts";

export interface Entry {
  account: Account;
  units: number;
  atMs: number;
}

/** In place of the number of a write that has yet to be made. */
const UNWRITTEN = Number.POSITIVE_INFINITY;

export class Tail implements DiskWatcher {
  #entries: (Entry & { write: number })[] = [];
  #blocks: { id: string; write: number }[] = [];
  /** The write that the log was written with last. */
  #log = UNWRITTEN;
  /** The same of a checkpoint that was written while it was counting. */
  #checkpoint = UNWRITTEN;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Keys that were blocked. */
  get blocks(): string[] {
    return this.#blocks.map(({ id }) => id);
  }

  /** To be called before it counts a batch. */
  counting(): void {
    this.#checkpoint = UNWRITTEN;
  }

  /** To be called when it has counted the batch, and written what it writes for it. */
  counted(entry: Entry): void {
    const write = entry.account.durable ? this.#log : this.#checkpoint;
    this.#entries.push({ ...entry, write });
  }

  /** To be called when a key was blocked, and that was written. */
  blocked(id: string): void {
    this.#blocks.push({ id, write: this.#log });
  }

  wrote(key: string, number: number): void {
    if (key.startsWith(LOG)) this.#log = number;
    // A checkpoint holds all there is, and so does nothing where all is deleted.
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
