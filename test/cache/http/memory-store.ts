/** A store within the test: one computation a key, and nothing else of the real one. */
import type { CacheStore, Computed, Found } from "../../../src/cache/value.ts";

interface Kept extends Computed {
  version: number;
  storedMs: number;
}

export class MemoryStore implements CacheStore {
  readonly kept = new Map<string, Kept>();
  readonly #computing = new Map<string, Promise<Found | undefined>>();
  #version = 0;

  copyOf(key: string): Found | undefined {
    const kept = this.kept.get(key);
    if (!kept) return undefined;
    const ageMs = Date.now() - kept.storedMs;
    const leftMs = kept.ttlMs - ageMs;
    return leftMs > 0 ? { ...kept, ageMs, leftMs, source: "copy" } : undefined;
  }

  async find(key: string): Promise<Found | undefined> {
    return this.copyOf(key);
  }

  async lookUp(
    key: string,
    compute: () => Promise<Computed | undefined>,
    newerThan = 0,
  ): Promise<Found | undefined> {
    const found = await this.find(key);
    if (found && found.version > newerThan) return found;
    const computing = this.#computing.get(key) ?? this.#compute(key, compute);
    this.#computing.set(key, computing);
    return computing;
  }

  async purge(key: string): Promise<void> {
    this.kept.delete(key);
  }

  async #compute(key: string, compute: () => Promise<Computed | undefined>) {
    const computed = await compute().finally(() => this.#computing.delete(key));
    if (!computed) return undefined;
    this.kept.set(key, { ...computed, version: ++this.#version, storedMs: Date.now() });
    const found = await this.find(key);
    return found && { ...found, source: "computed" as const };
  }
}
