/** Requests, and what became of them over time, in at most `MAX_INTERVALS` intervals of equal length. */

const MAX_INTERVALS = 120;
/** Lengths of an interval, in seconds. */
const LENGTHS = [1, 5, 15, 60, 300, 900, 3_600, 10_800, 43_200, 86_400, 604_800, 31_557_600];

interface Counts {
  requests: number;
  denied: number;
  /** Not denied, but would be if no policy were in shadow. */
  shadow: number;
}

export interface Interval extends Counts {
  /** Start, in RFC 3339. */
  from: string;
  seconds: number;
}

const NONE: Readonly<Counts> = { requests: 0, denied: 0, shadow: 0 };

export class Timeline {
  #length = 0;
  /** By the interval's number since the epoch. Ascending, since requests come in order. */
  #intervals = new Map<number, Counts>();
  #current: Counts = { ...NONE };
  #currentEndMs = Number.NEGATIVE_INFINITY;

  add(atMs: number): void {
    if (atMs >= this.#currentEndMs) this.#open(atMs);
    this.#current.requests++;
  }

  /** Counts what became of the request that was added last. */
  count(what: "denied" | "shadow"): void {
    this.#current[what]++;
  }

  intervals(): Interval[] {
    const seconds = this.#seconds;
    const numbers = [...this.#intervals.keys()];
    const [first = 0] = numbers;
    const last = numbers.at(-1) ?? -1;
    return Array.from({ length: last - first + 1 }, (_, at) => ({
      from: new Date((first + at) * seconds * 1_000).toISOString(),
      seconds,
      ...NONE,
      ...this.#intervals.get(first + at),
    }));
  }

  get #seconds(): number {
    return LENGTHS[this.#length] as number;
  }

  #open(atMs: number): void {
    const numberAt = () => Math.floor(atMs / (this.#seconds * 1_000));
    const [first = numberAt()] = this.#intervals.keys();
    let start = first;
    while (numberAt() - start >= MAX_INTERVALS && this.#length < LENGTHS.length - 1) {
      this.#lengthen();
      [start = numberAt()] = this.#intervals.keys();
    }
    const number = numberAt();
    this.#current = this.#intervals.get(number) ?? { ...NONE };
    this.#intervals.set(number, this.#current);
    this.#currentEndMs = (number + 1) * this.#seconds * 1_000;
  }

  #lengthen(): void {
    const before = this.#seconds;
    this.#length++;
    const merged = new Map<number, Counts>();
    for (const [number, counts] of this.#intervals) {
      const wider = Math.floor((number * before) / this.#seconds);
      const sum = merged.get(wider) ?? { ...NONE };
      merged.set(wider, sum);
      sum.requests += counts.requests;
      sum.denied += counts.denied;
      sum.shadow += counts.shadow;
    }
    this.#intervals = merged;
  }
}
