/**
 * Space-Saving (Metwally, Agrawal and El Abbadi, 2005): finds the heaviest of more keys than fit.
 *
 * Each entry is a key with a count that is never too low, and the most by which it may be too high.
 * A key without an entry has at most `floor`. While nothing was evicted, everything is exact. After
 * that, the floor is at most the total divided by the number of entries.
 */

/** A key's true count is between `count − error` and `count`. */
export interface Entry {
  readonly key: string;
  count: number;
  error: number;
}

interface Ranked extends Entry {
  /** The count by which the entry stands in the heap. Counts grow, so this may be too low. */
  rank: number;
}

/** Bytes of an entry in memory, besides two for each UTF-16 unit of its key. Measured: 150. */
const ENTRY_BYTES = 160;

export class SpaceSaving {
  /** The most that a key without an entry may have. */
  floor = 0;
  /** Bytes that the entries take, estimated from above. */
  bytes = 0;
  readonly #entries = new Map<string, Ranked>();
  /** A heap with the lightest entry first, from the first eviction on. */
  #heap: Ranked[] | undefined;

  get size(): number {
    return this.#entries.size;
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Adds to a key's count. @param error how much of the amount may not be the key's */
  add(key: string, amount: number, error = 0): void {
    const known = this.#entries.get(key);
    if (known) {
      known.count += amount;
      known.error += error;
      return;
    }
    const count = this.floor + amount;
    const entry = { key, count, error: this.floor + error, rank: count };
    this.#entries.set(key, entry);
    this.bytes += bytesOf(key);
    if (this.#heap) this.#rise(this.#heap.push(entry) - 1);
  }

  /** Drops the lightest entry. The floor then covers it. */
  evict(): void {
    const heap = this.#ranked();
    let lightest = heap[0] as Ranked;
    while (lightest.rank < lightest.count) {
      lightest.rank = lightest.count;
      this.#sink(0);
      lightest = heap[0] as Ranked;
    }
    const last = heap.pop() as Ranked;
    if (last !== lightest) {
      heap[0] = last;
      this.#sink(0);
    }
    this.#entries.delete(lightest.key);
    this.bytes -= bytesOf(lightest.key);
    this.floor = Math.max(this.floor, lightest.count);
  }

  /** Adds what another sketch counted of other events. */
  merge(other: SpaceSaving): void {
    if (other.floor > 0) {
      for (const entry of this.#entries.values()) {
        if (other.get(entry.key)) continue;
        entry.count += other.floor;
        entry.error += other.floor;
      }
    }
    for (const { key, count, error } of other.entries()) this.add(key, count, error);
    this.floor += other.floor;
  }

  /** Returns the heap, which the first call makes. */
  #ranked(): Ranked[] {
    if (this.#heap) return this.#heap;
    this.#heap = [...this.#entries.values()];
    for (const entry of this.#heap) entry.rank = entry.count;
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(at);
    return this.#heap;
  }

  #rise(at: number): void {
    const heap = this.#ranked();
    const entry = heap[at] as Ranked;
    let child = at;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as Ranked;
      if (above.rank <= entry.rank) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = entry;
  }

  #sink(at: number): void {
    const heap = this.#ranked();
    const entry = heap[at] as Ranked;
    let parent = at;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && rankAt(heap, child + 1) < rankAt(heap, child)) child++;
      if (rankAt(heap, child) >= entry.rank) break;
      heap[parent] = heap[child] as Ranked;
      parent = child;
    }
    heap[parent] = entry;
  }
}

function rankAt(heap: readonly Ranked[], at: number): number {
  return (heap[at] as Ranked).rank;
}

function bytesOf(key: string): number {
  return ENTRY_BYTES + 2 * key.length;
}
