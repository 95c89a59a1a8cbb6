/** An isolate's copies of what it has just read from owners; each is kept for at most a second. */
import type { Runtime } from "../runtime.ts";
import type { Found, Held } from "./value.ts";
import { Values } from "./values.ts";

/** How long a copy is kept, and so how long a purge elsewhere may go unnoticed here. */
const MAX_COPY_MS = 1_000;
const MAX_COPY_BYTES = 4_000_000;

export class Copies {
  readonly #runtime: Runtime;
  readonly #ringVersion: () => number;
  readonly #values = new Values(MAX_COPY_BYTES);
  /** Version of the ring that the copies are from. */
  #version = 0;
  #purges = 0;

  constructor(runtime: Runtime, ringVersion: () => number) {
    this.#runtime = runtime;
    this.#ringVersion = ringVersion;
  }

  find(key: string): Found | undefined {
    const ringVersion = this.#ringVersion();
    if (ringVersion !== this.#version) this.#values.clear();
    this.#version = ringVersion;
    const copy = this.#values.get(key, this.#runtime.now());
    return copy && { ...copy, source: "copy" };
  }

  /**
   * Returns what to read an owner's answer with. Call this before asking the owner.
   *
   * @param ringVersion version of the ring that named the owner
   * @returns reads the answer, and copies it unless there was a purge or another ring meanwhile
   */
  reader(key: string, ringVersion: number): (held: Held, source: Found["source"]) => Found {
    const askedMs = this.#runtime.now();
    const purges = this.#purges;
    return (held, source) => {
      if (purges === this.#purges && ringVersion === this.#ringVersion()) {
        const { value, ageMs, leftMs, version } = held;
        const ttlMs = ageMs + Math.min(leftMs, MAX_COPY_MS);
        // The copy's age includes the time of the call.
        this.#values.set(key, version, { value, ttlMs, tags: [] }, askedMs - ageMs);
      }
      return { ...held, source };
    };
  }

  /** Drops copies after a purge. @param key all if left out, since a copy does not know its tags */
  purge(key?: string): void {
    this.#purges++;
    if (key === undefined) this.#values.clear();
    else this.#values.delete(key);
  }
}
