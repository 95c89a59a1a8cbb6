/** Virtual time and seeded chance: with one seed, the same happens at the same times. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { skipN } from "pure-rand/utils/skipN";

/** Far from the end of any window. */
const START_MS = 1_700_000_000_000;
/** Numbers to skip: the first ones of neighbouring seeds are nearly the same. */
const ALIKE_NUMBERS = 32;

interface Event {
  atMs: number;
  /** Random: puts events of one moment in a random order. */
  tie: number;
  /** Undefined once it is called off. */
  run: (() => void) | undefined;
}

export class Schedule {
  nowMs = START_MS;
  readonly #chance: ReturnType<typeof xoroshiro128plus>;
  /** A heap: the next event first. */
  readonly #events: Event[] = [];

  constructor(seed: number) {
    this.#chance = xoroshiro128plus(seed);
    skipN(this.#chance, ALIKE_NUMBERS);
  }

  /** Returns a whole number from `least` to `most`. */
  int(least: number, most: number): number {
    return uniformInt(this.#chance, least, most);
  }

  odds(probability: number): boolean {
    return (this.#chance.next() >>> 0) / 2 ** 32 < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.int(0, items.length - 1)] as Item;
  }

  /** @returns what calls it off */
  after(ms: number, run: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), tie: this.#chance.next(), run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  at(ms: number, run: () => void): void {
    this.after(ms - this.nowMs, run);
  }

  /** Runs the next event; returns false if there is none until `untilMs`. */
  step(untilMs: number): boolean {
    for (;;) {
      const [next] = this.#events;
      if (!next || next.atMs > untilMs) break;
      this.#pop();
      if (!next.run) continue;
      this.nowMs = next.atMs;
      next.run();
      return true;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
    return false;
  }

  #push(event: Event): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, events[parent] as Event)) break;
      events[at] = events[parent] as Event;
      at = parent;
    }
    events[at] = event;
  }

  #pop(): void {
    const events = this.#events;
    const last = events.pop() as Event;
    if (events.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      const right = child + 1;
      if (right < events.length && isBefore(events[right] as Event, events[child] as Event)) {
        child = right;
      }
      if (!isBefore(events[child] as Event, last)) break;
      events[at] = events[child] as Event;
      at = child;
    }
    events[at] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs === other.atMs ? one.tie < other.tie : one.atMs < other.atMs;
}
