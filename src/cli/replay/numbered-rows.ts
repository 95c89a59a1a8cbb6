/**
 * Numbers by the number of a client or key, those of one side by side: a request then changes
 * one place of memory.
 */

const FIRST_ROWS = 16;
/** Memory that nothing is written to costs nothing, but to copy what was written does. */
export const GROWTH = 4;

type Numbers = Int32Array | Float64Array;

export class NumberedRows<Kind extends Numbers = Int32Array> {
  /** A new array when a row needs room. */
  numbers: Kind;
  readonly #Kind: new (
    length: number,
  ) => Kind;
  readonly #width: number;
  /** One more than the highest number that was asked for. */
  #end = 0;

  /**
   * @param width numbers in a row
   * @param kind of the numbers
   */
  constructor(width: number, kind = Int32Array as unknown as new (length: number) => Kind) {
    this.#width = width;
    this.#Kind = kind;
    this.numbers = new kind(FIRST_ROWS * width);
  }

  /** Returns where a row begins in `numbers`. */
  rowOf(number: number): number {
    if (number >= this.#end) {
      this.#end = number + 1;
      const length = this.#end * this.#width;
      if (length > this.numbers.length) {
        const wider = new this.#Kind(Math.max(length, this.numbers.length * GROWTH));
        wider.set(this.numbers);
        this.numbers = wider;
      }
    }
    return number * this.#width;
  }

  /** Adds one to the first number of a row. */
  count(number: number): void {
    const row = this.rowOf(number);
    (this.numbers[row] as number)++;
  }

  /** Returns one number of each row, as it is now. */
  column(at: number): Column {
    return new Column(this.numbers, this.#width, at, this.#end);
  }
}

/** Counts by number. */
export class Column {
  /** How many numbers there are. */
  readonly #end: number;
  readonly #numbers: Numbers;
  readonly #width: number;
  readonly #at: number;

  constructor(numbers: Numbers, width: number, at: number, end: number) {
    this.#numbers = numbers;
    this.#width = width;
    this.#at = at;
    this.#end = end;
  }

  of(number: number): number {
    return this.#numbers[number * this.#width + this.#at] ?? 0;
  }

  /** How many numbers have a count above 0. */
  positive(): number {
    let positive = 0;
    for (let number = 0; number < this.#end; number++) if (this.of(number) > 0) positive++;
    return positive;
  }

  /**
   * The counts above 0, ascending.
   *
   * @param made makes another number of each
   */
  sorted(made = (count: number, _number: number) => count): Int32Array {
    const sorted = new Int32Array(this.positive());
    for (let number = 0, next = 0; number < this.#end; number++) {
      const count = this.of(number);
      if (count > 0) sorted[next++] = made(count, number);
    }
    return sorted.sort();
  }

  /** The numbers with the largest counts above 0, the largest first; of equals, the lowest number. */
  largest(most: number): { number: number; count: number }[] {
    const found: { number: number; count: number }[] = [];
    let least = 0;
    for (let number = 0; number < this.#end; number++) {
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
