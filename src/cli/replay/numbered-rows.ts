/**
 * Whole numbers by the number of a client or key, those of one side by side: a request then changes
 * one place of memory.
 */

const FIRST_ROWS = 16;

export class NumberedRows {
  /** A new array when a row needs room. */
  numbers: Int32Array;
  readonly #width: number;
  /** One more than the highest number that was asked for. */
  #end = 0;

  /** @param width numbers in a row */
  constructor(width: number) {
    this.#width = width;
    this.numbers = new Int32Array(FIRST_ROWS * width);
  }

  /** Returns where a row begins in `numbers`. */
  rowOf(number: number): number {
    if (number >= this.#end) {
      this.#end = number + 1;
      const length = this.#end * this.#width;
      if (length > this.numbers.length) {
        const wider = new Int32Array(Math.max(length, this.numbers.length * 2));
        wider.set(this.numbers);
        this.numbers = wider;
      }
    }
    return number * this.#width;
  }

  /** Returns one number of each row. */
  column(at: number): Column {
    const column = new Int32Array(this.#end);
    for (let row = 0; row < this.#end; row++) {
      column[row] = this.numbers[row * this.#width + at] as number;
    }
    return new Column(column);
  }
}

/** Counts by number. */
export class Column {
  readonly #counts: Int32Array;

  constructor(counts: Int32Array) {
    this.#counts = counts;
  }

  of(number: number): number {
    return this.#counts[number] ?? 0;
  }

  /** How many numbers have a count above 0. */
  positive(): number {
    let positive = 0;
    for (const count of this.#counts) if (count > 0) positive++;
    return positive;
  }

  /** The counts above 0, ascending. */
  sorted(): Int32Array {
    const sorted = this.#counts.slice().sort();
    return sorted.subarray(sorted.length - this.positive());
  }

  /** The numbers with the largest counts above 0, the largest first; of equals, the lowest number. */
  largest(most: number): { number: number; count: number }[] {
    const found: { number: number; count: number }[] = [];
    let least = 0;
    for (let number = 0; number < this.#counts.length; number++) {
      const count = this.of(number);
      if (count <= least) continue;
      found.push({ number, count });
      found.sort((one, other) => other.count - one.count);
      if (found.length > most) found.pop();
      if (found.length === most) least = (found.at(-1) as { count: number }).count;
    }
    return found;
  }
}
