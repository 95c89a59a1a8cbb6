/**
 * Prefetches memory: collects places, then reads all of them in a tight loop.
 *
 * A processor can have about ten reads in flight, but only if few instructions lie between them. To
 * find and read one place after the other takes twice as long.
 */

/** Rows that take less than this are in a processor's cache anyway. */
export const CACHE_BYTES = 500_000;
/** A cache line in words: 64 bytes, which are read at once. */
const LINE_WORDS = 16;

export class ReadAhead {
  /** Kept only so that the compiler cannot leave out the reads. */
  static #kept = 0;
  readonly #views: Uint32Array[] = [];
  /** Two word indices for each view. */
  readonly #places: number[] = [];

  /** @param place index of a word. The next cache line is read too: few rows reach farther. */
  add(view: Uint32Array, place: number): void {
    const at = this.#views.length;
    this.#views[at] = view;
    this.#places[2 * at] = place;
    this.#places[2 * at + 1] = Math.min(place + LINE_WORDS, view.length - 1);
  }

  /** Reads what was added. */
  read(): void {
    let kept = ReadAhead.#kept;
    let next = 0;
    for (const view of this.#views) {
      kept ^= view[this.#places[next++] as number] as number;
      kept ^= view[this.#places[next++] as number] as number;
    }
    ReadAhead.#kept = kept;
  }
}
