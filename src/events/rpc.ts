/**
 * What isolates and event objects say to each other: the methods of the class `Events`.
 *
 * One object, the directory, knows which owners hold events. An owner announces itself there before
 * it counts for the first time in its life, and once a day. A reader asks the directory, then each
 * owner, and adds up. So a ring change moves nothing, and an owner that has left the ring is read
 * until its events expire.
 *
 * Versions. As in `protocol/rpc.ts`: methods and fields are only added. An owner that does not know
 * `heaviest` returns the whole tally, which says the same. One that does not know its `lately`
 * returns the heaviest of the range.
 */
import type { Point } from "./answers.ts";
import type { Batch } from "./event-store.ts";
import type { Level } from "./level.ts";
import type { EncodedTally, Heaviest } from "./tally.ts";
import type { Dimensions } from "./tuple.ts";

/**
 * Which bins are read: from the bin that `fromMs` falls into to the last that begins before `toMs`.
 */
export interface Bins {
  level: Level["name"];
  fromMs: number;
  toMs: number;
}

/** Asks for the tuples of the heaviest values alone. */
export interface HeaviestRead extends Heaviest {
  /** The bins by which values are weighed. Default those of the range. */
  lately?: Bins;
}

/** Asks what was counted under a name. */
export interface TallyRead {
  what: "tally";
  name: string;
  bins: Bins;
  heaviest?: HeaviestRead;
}

/** Asks for a point for each bin, which counts the tuples with all values of `filter`. */
export interface SeriesRead {
  what: "series";
  name: string;
  filter: Dimensions;
  bins: Bins;
}

export type Read = TallyRead | SeriesRead;

/**
 * A tally, null if nothing was counted under the name; or the points of a series that are not 0.
 */
export type Said = EncodedTally | null | Point[];

export interface EventsRpc {
  /** Counts a batch, and counts it once however often it is sent. */
  record(batch: Batch): void | Promise<void>;
  /** Answers several reads, in order. */
  read(reads: Read[]): Said[] | Promise<Said[]>;
  /** Of the directory: notes that an owner holds events. */
  announce(owner: string): void | Promise<void>;
  /** Of the directory: returns the owners that may hold events. */
  owners(): string[] | Promise<string[]>;
}
