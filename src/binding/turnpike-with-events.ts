/**
 * The entrypoint of the deployed Worker: what `Turnpike` offers, and counters of events.
 *
 * The methods that count and read events are those of `events()`. `countMany` counts many at once.
 */

import { eventsSchema } from "../events/tuple.ts";
import {
  type Dimensions,
  type Distinct,
  events,
  type Point,
  type Range,
  type Top,
} from "../events.ts";
import { parse } from "../limit/misuse.ts";
import { Turnpike } from "./turnpike.ts";

/** An event as one value. */
export interface EventToCount {
  name: string;
  dimensions?: Dimensions;
  /** Default 1. */
  amount?: number;
}

/** All methods reject with a `MisuseError` that names the field, the rule and the value. */
export class TurnpikeWithEvents extends Turnpike {
  /** Returns a promise that each call on policies waits for; undefined if there is no need. */
  static begin: () => Promise<void> | undefined = () => undefined;

  async count(name: string, dimensions?: Dimensions, amount?: number): Promise<void> {
    this.#events.count(name, dimensions, amount);
  }

  /** Counts up to 1,000 events, or none if one of them breaks a rule. */
  async countMany(several: readonly EventToCount[]): Promise<void> {
    for (const { name, dimensions, amount } of parse(eventsSchema, several, "events")) {
      this.#events.count(name, dimensions, amount);
    }
  }

  async top(name: string, by?: readonly string[], n?: number, range?: Range): Promise<Top> {
    return this.#events.top(name, by, n, range);
  }

  async series(name: string, filter?: Dimensions, range?: Range): Promise<Point[]> {
    return this.#events.series(name, filter, range);
  }

  async distinct(name: string, dimension: string, range?: Range): Promise<Distinct> {
    return this.#events.distinct(name, dimension, range);
  }

  get #events() {
    return events(this.env as object);
  }
}

// The methods of `Turnpike` wait for `begin` first.
for (const name of Object.getOwnPropertyNames(Turnpike.prototype)) {
  const method: unknown = Reflect.get(Turnpike.prototype, name);
  if (name === "constructor" || typeof method !== "function") continue;
  Reflect.set(
    TurnpikeWithEvents.prototype,
    name,
    async function begun(this: TurnpikeWithEvents, ...given: unknown[]) {
      await TurnpikeWithEvents.begin();
      return Reflect.apply(method, this, given);
    },
  );
}
