/** An isolate's copies of what it has just read from a region's owners: each for a second at most. */
import type { Runtime } from "../runtime.ts";
import type { Found, Held } from "./value.ts";
import { Values } from "./values.ts";

/** How long a purge may go unnoticed in an isolate that has a copy. */
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
   * To be called as an owner is asked.
   *
   * @param ringVersion of the ring that named the owner
   * @returns what reads its answer, and copies it if there was no purge and no other ring meanwhile
   */
  reader(key: string, ringVersion: number): (held: Held, source: Found["source"]) => Found {
    const askedMs = this.#runtime.now();
    const purges = this.#purges;
    return (held, source) => {
      if (purges === this.#purges && ringVersion === this.#ringVersion()) {
        const { value, ageMs, leftMs, version } = held;
        const ttlMs = ageMs + Math.min(leftMs, MAX_COPY_MS);
        // Its age includes the time of the call.
        this.#values.set(key, version, { value, ttlMs, tags: [] }, askedMs - ageMs);
      }
      return { ...held, source };
    };
  }

  /** To be called after a purge. @param key left out: all, since a copy does not know its tags */
  purge(key?: string): void {
    this.#purges++;
    if (key === undefined) this.#values.clear();
    else this.#values.delete(key);
  }
}
