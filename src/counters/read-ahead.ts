/**
 * Places in memory that are read before they are needed, all in a row.
 *
 * A processor waits for some ten reads at once, but only where few instructions lie between them.
 * So what to read is found out first and then read: in turns, place by place, it takes twice as long.
 */

/** Rows that take less are at hand anyway, in a processor's cache. */
export const CACHE_BYTES = 500_000;
/** What is read from memory at once: 64 bytes. */
const LINE_WORDS = 16;

export class ReadAhead {
  /** Means nothing: what nobody keeps, the compiler does not read. */
  static #kept = 0;
  readonly #views: Uint32Array[] = [];
  /** Two for each view: indices of words. */
  readonly #places: number[] = [];

  /** @param place index of a word. The line after its own is read too: few rows lie farther off. */
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
