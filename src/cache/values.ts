/**
 * The values of one owner, or the copies of an isolate, within a bound on their bytes. No clock.
 */
import type { Computed, Held } from "./value.ts";

/** A place in the order of use. */
class Link {
  older: Link = this;
  newer: Link = this;
}

interface Kept extends Computed, Link {
  key: string;
  version: number;
  storedMs: number;
  bytes: number;
}

/** Bytes that a value takes besides its own and those of its key: measured, and rounded up. */
const ENTRY_BYTES = 600;
/** Bytes of a UTF-16 unit of a key or a tag. */
export const CHAR_BYTES = 2;

export class Values {
  readonly #maxBytes: number;
  readonly #kept = new Map<string, Kept>();
  /**
   * Both ends of the order of use: `newer` is the least recently used value. A `Map` has an order,
   * too, but finding its first entry takes longer with each entry that was deleted there.
   */
  readonly #ends = new Link();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the value under a key; undefined without one, or if its time is over. */
  get(key: string, nowMs: number): Held | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    const ageMs = Math.max(0, nowMs - kept.storedMs);
    const leftMs = kept.ttlMs - ageMs;
    if (leftMs <= 0) {
      this.#drop(kept);
      return undefined;
    }
    unlink(kept);
    this.#append(kept);
    return { value: kept.value, ageMs, leftMs, version: kept.version };
  }

  /**
   * Stores a value in place of the previous one, and drops the least recently used ones if need be.
   *
   * @param storedMs when the value was computed; its `ttlMs` counts from then
   */
  set(key: string, version: number, { value, ttlMs, tags }: Computed, storedMs: number): void {
    this.delete(key);
    const chars = tags.reduce((sum, tag) => sum + tag.length, key.length);
    const bytes = ENTRY_BYTES + value.length + chars * CHAR_BYTES;
    if (bytes > this.#maxBytes) return;
    const { older, newer } = this.#ends;
    const kept = { key, value, ttlMs, tags, version, storedMs, bytes, older, newer };
    this.#kept.set(key, kept);
    this.#append(kept);
    this.reserve(bytes);
  }

  /** Reserves bytes for something that is no value; a negative number gives them back. */
  reserve(bytes: number): void {
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes && this.#ends.newer !== this.#ends) {
      this.#drop(this.#ends.newer as Kept);
    }
  }

  delete(key: string): void {
    const kept = this.#kept.get(key);
    if (kept) this.#drop(kept);
  }

  clear(): void {
    for (const kept of this.#kept.values()) this.#drop(kept);
  }

  deleteTag(tag: string): void {
    for (const kept of this.#kept.values()) if (kept.tags.includes(tag)) this.#drop(kept);
  }

  #drop(kept: Kept): void {
    unlink(kept);
    this.#kept.delete(kept.key);
    this.#bytes -= kept.bytes;
  }

  #append(kept: Kept): void {
    const newest = this.#ends.older;
    kept.older = newest;
    kept.newer = this.#ends;
    newest.newer = kept;
    this.#ends.older = kept;
  }
}

function unlink({ older, newer }: Link): void {
  older.newer = newer;
  newer.older = older;
}
