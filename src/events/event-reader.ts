/**
 * Reads events: asks the directory which owners hold some, then each of them, and adds up.
 *
 * What is asked in one turn goes to each object in one call, so a page or a scrape costs one call
 * to each owner. If one of the objects does not answer, the call rejects: a sum of the others would
 * be wrong.
 */
import { withDeadline } from "../protocol/deadline.ts";
import type { Stub } from "../protocol/rpc.ts";
import type { Runtime } from "../runtime.ts";
import {
  type Distinct,
  distinctOf,
  type Point,
  type Top,
  type TopEntry,
  topOf,
} from "./answers.ts";
import { Bin, OTHER_NAME } from "./bin.ts";
import { EVER, startOf } from "./level.ts";
import { distinctSchema, type Range, readQuery, seriesSchema, topSchema } from "./query.ts";
import type { Bins, EventsRpc, HeaviestRead, Read, Said } from "./rpc.ts";
import { type EncodedTally, type Heaviest, Tally, type ValueHash } from "./tally.ts";
import type { Dimensions } from "./tuple.ts";

export interface EventReaderOptions {
  runtime: Runtime;
  /** Returns a new stub for an object: an owner, or the directory. */
  stubOf: (name: string) => Stub<EventsRpc>;
  directory: string;
  hash: ValueHash;
}

/** An object that holds events, or the directory, does not answer. */
export class EventsUnreachable extends Error {
  override readonly name = "EventsUnreachable";
}

/** Long, since a reader would rather wait than get no answer. */
const DEADLINE_MS = 15_000;
/** The most memory that the tuples of all owners take; past it, light ones are evicted. */
const SUM_BYTES = 24_000_000;

interface Waiting {
  read: Read;
  resolve: (said: Said) => void;
  reject: (error: unknown) => void;
}

export class EventReader {
  readonly #options: EventReaderOptions;
  /** The reads of this turn that wait to be sent, by owner. */
  readonly #waiting = new Map<string, Waiting[]>();
  /** The directory's answer to all that is asked in this turn. */
  #directory: Promise<string[]> | undefined;

  constructor(options: EventReaderOptions) {
    this.#options = options;
  }

  /** Returns the heaviest. Like all methods, rejects with a `MisuseError` if a rule is broken. */
  async top(name: string, by: readonly string[] = [], n = 10, range: Range = {}): Promise<Top> {
    const { query, bins } = this.#read(topSchema, { ...range, name, by, n });
    const [tally, otherNames] = await this.#tallyOf(name, bins);
    const top = topOf(tally, query.by, query.n);
    return otherNames > 0 ? { ...top, otherNames } : top;
  }

  /**
   * Returns the tuples of the heaviest values of a dimension: of the `n` heaviest at each owner.
   *
   * Cheaper than `top`, because owners send no other tuples. Exact if all tuples of a value have
   * one owner.
   *
   * @param lately the range by which values are weighed, if it is another one
   */
  async heaviest(
    name: string,
    { by, n, where }: Heaviest,
    range: Range,
    lately?: Range,
  ): Promise<TopEntry[]> {
    const binsOf = (each: Range) => this.#read(topSchema, { ...each, name, by: [by], n }).bins;
    const heaviest = { by, n, ...(where && { where }), ...(lately && { lately: binsOf(lately) }) };
    return topOf(await this.#tally(name, binsOf(range), heaviest), []).entries;
  }

  /** Returns how many distinct values of a dimension were counted. */
  async distinct(name: string, dimension: string, range: Range = {}): Promise<Distinct> {
    const { bins } = this.#read(distinctSchema, { ...range, name, dimension });
    const [tally, otherNames] = await this.#tallyOf(name, bins);
    return distinctOf(tally, dimension, otherNames);
  }

  /** Returns a point for each bin, even if it is 0. Counts events with all values of `filter`. */
  async series(name: string, filter: Dimensions = {}, range: Range = {}): Promise<Point[]> {
    const { bins, level } = this.#read(seriesSchema, { ...range, name, filter });
    const nowMs = this.#options.runtime.now();
    const points = new Map<number, Point>();
    const endMs = Math.min(bins.toMs, nowMs + 1);
    for (let atMs = startOf(level, bins.fromMs); atMs < endMs; atMs += level.ms) {
      points.set(atMs, { atMs, count: 0, error: 0 });
    }
    for (const some of await this.#askAll({ what: "series", name, filter, bins })) {
      for (const { atMs, count, error } of some as Point[]) {
        const known = points.get(atMs) ?? { count: 0, error: 0 };
        points.set(atMs, { atMs, count: known.count + count, error: known.error + error });
      }
    }
    return [...points.values()];
  }

  /** Returns what each owner has counted since its beginning, under a name kept for ever. */
  async sums(name: string): Promise<Map<string, TopEntry[]>> {
    const { hash } = this.#options;
    const bins: Bins = { level: EVER.name, fromMs: 0, toMs: EVER.ms };
    const sums = new Map<string, TopEntry[]>();
    const owners = await this.#owners();
    const tallies = await this.#ask(owners, { what: "tally", name, bins });
    for (const [at, said] of tallies.entries()) {
      const tally = said as EncodedTally | null;
      const { entries } = topOf(tally ? Tally.decode(tally, hash) : new Tally(hash), []);
      if (entries.length > 0) sums.set(owners[at] as string, entries);
    }
    return sums;
  }

  #read<const Schema extends Parameters<typeof readQuery>[0]>(schema: Schema, query: unknown) {
    return readQuery(schema, query, this.#options.runtime.now());
  }

  /** Returns a name's tally, and the units of names that were not kept apart: it may be one. */
  async #tallyOf(name: string, bins: Bins): Promise<[tally: Tally, otherNames: number]> {
    const [tally, other] = await Promise.all([
      this.#tally(name, bins),
      this.#tally(OTHER_NAME, bins),
    ]);
    return [tally, name === OTHER_NAME ? 0 : other.unknown];
  }

  async #tally(name: string, bins: Bins, heaviest?: HeaviestRead): Promise<Tally> {
    const { hash } = this.#options;
    const sum = new Bin(0, SUM_BYTES, hash);
    for (const said of await this.#askAll({
      what: "tally",
      name,
      bins,
      ...(heaviest && { heaviest }),
    })) {
      const tally = said as EncodedTally | null;
      if (tally) sum.mergeTally(name, Tally.decode(tally, hash));
    }
    return sum.tallies.get(name) ?? new Tally(hash);
  }

  async #askAll(read: Read): Promise<Said[]> {
    return this.#ask(await this.#owners(), read);
  }

  /** Asks the directory once a turn. Not shared for longer: the request that asks may end first. */
  #owners(): Promise<string[]> {
    if (this.#directory) return this.#directory;
    this.#directory = this.#call(this.#options.directory, (stub) => stub.owners());
    queueMicrotask(() => {
      this.#directory = undefined;
    });
    return this.#directory;
  }

  #ask(owners: readonly string[], read: Read): Promise<Said[]> {
    return Promise.all(
      owners.map((owner) => {
        const { promise, resolve, reject } = Promise.withResolvers<Said>();
        const waiting = this.#waiting.get(owner);
        if (waiting) waiting.push({ read, resolve, reject });
        else {
          this.#waiting.set(owner, [{ read, resolve, reject }]);
          queueMicrotask(() => this.#send(owner));
        }
        return promise;
      }),
    );
  }

  async #send(owner: string): Promise<void> {
    const waiting = this.#waiting.get(owner) ?? [];
    this.#waiting.delete(owner);
    try {
      const said = await this.#call(owner, (stub) => stub.read(waiting.map(({ read }) => read)));
      for (const [at, { resolve }] of waiting.entries()) resolve(said[at] as Said);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }

  async #call<Reply>(
    name: string,
    call: (stub: Stub<EventsRpc>) => Promise<Reply>,
  ): Promise<Reply> {
    const { runtime, stubOf } = this.#options;
    try {
      return await withDeadline(DEADLINE_MS, call(stubOf(name)), runtime);
    } catch (error) {
      throw new EventsUnreachable(`${name} does not answer: ${error}`);
    }
  }
}
