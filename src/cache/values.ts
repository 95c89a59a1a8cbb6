/** The values of one owner, or of an isolate's copy, within a bound on their bytes. No clock. */
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

/** What a value takes besides its own bytes and those of its key: measured, and rounded up. */
const ENTRY_BYTES = 600;
/** A UTF-16 unit of a key or a tag. */
export const CHAR_BYTES = 2;

export class Values {
  readonly #maxBytes: number;
  readonly #kept = new Map<string, Kept>();
  /**
   * Where the order of use begins and ends: `newer` is the value that was not used for longest. A
   * `Map` has an order, too, but to look for its first entry takes longer the more were deleted there.
   */
  readonly #ends = new Link();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns what is kept under the key and not over. */
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
   * Stores a value in place of the one before, and drops those that were not used for longest.
   *
   * @param storedMs when it was computed; its `ttlMs` counts from then
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

  /** Takes room for something that is no value, or gives it back if negative. */
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
