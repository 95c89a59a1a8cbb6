/** Counts by small whole numbers, in four bytes each. */
export class NumberedCounts {
  #counts = new Int32Array(1_024);
  /** One more than the highest number that was counted. */
  #end = 0;

  add(number: number, by: number): void {
    this.set(number, this.of(number) + by);
  }

  of(number: number): number {
    return this.#counts[number] ?? 0;
  }

  set(number: number, count: number): void {
    if (number >= this.#counts.length) {
      const wider = new Int32Array(Math.max(number + 1, this.#counts.length * 2));
      wider.set(this.#counts);
      this.#counts = wider;
    }
    this.#counts[number] = count;
    if (number >= this.#end) this.#end = number + 1;
  }

  /** How many numbers have a count above 0. */
  positive(): number {
    let positive = 0;
    for (let number = 0; number < this.#end; number++) if (this.of(number) > 0) positive++;
    return positive;
  }

  /** The counts above 0, ascending. */
  sorted(): Int32Array {
    return this.#counts
      .subarray(0, this.#end)
      .filter((count) => count > 0)
      .sort();
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
