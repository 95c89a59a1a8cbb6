/** The values of one owner, or of an isolate's copy, within a bound on their bytes. No clock. */
import type { Computed } from "./value.ts";

interface Kept extends Computed {
  version: number;
  storedMs: number;
  bytes: number;
}

/** What a value takes besides its own bytes and those of its key: measured, and rounded up. */
const ENTRY_BYTES = 400;
const CHAR_BYTES = 2;

export class Values {
  readonly #maxBytes: number;
  /** The one used last is the last. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Returns what is kept under the key and not over, with its age. */
  get(key: string, nowMs: number): (Kept & { ageMs: number; leftMs: number }) | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    const ageMs = Math.max(0, nowMs - kept.storedMs);
    const leftMs = kept.ttlMs - ageMs;
    this.#kept.delete(key);
    if (leftMs > 0) {
      this.#kept.set(key, kept);
      return { ...kept, ageMs, leftMs };
    }
    this.#bytes -= kept.bytes;
    return undefined;
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
    this.#kept.set(key, { value, ttlMs, tags, version, storedMs, bytes });
    this.reserve(bytes);
  }

  /** Takes room for something that is no value, or gives it back if negative. */
  reserve(bytes: number): void {
    this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  deleteTag(tag: string): void {
    for (const [key, { tags }] of this.#kept) if (tags.includes(tag)) this.delete(key);
  }
}
