/**
 * Remembers values by key, up to a bound. The values used last, as many as half the bound, are
 * always there.
 *
 * Two maps take turns. When the newer one is full, it becomes the older one, whose values are all
 * forgotten at once. Deleting the oldest entry of a single `Map` at each insertion takes a hundred
 * times as long: to find it, a `Map` steps over all deleted entries.
 */
export class RecentMap<Key, Value> {
  readonly #half: number;
  #newer = new Map<Key, Value>();
  #older = new Map<Key, Value>();

  /** @param most values that are remembered at once */
  constructor(most: number) {
    this.#half = most / 2;
  }

  get(key: Key): Value | undefined {
    const newer = this.#newer.get(key);
    if (newer !== undefined) return newer;
    const older = this.#older.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: Key, value: Value): void {
    if (this.#newer.size >= this.#half) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, value);
  }

  delete(key: Key): void {
    this.#newer.delete(key);
    this.#older.delete(key);
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
  }
}
