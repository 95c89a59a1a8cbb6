/**
 * The process that owns events: counts batches, writes them within two seconds, and answers
 * readers.
 *
 * A crash loses what came since the last write, `WRITE_MS` at most. Storage, timers and the
 * directory are passed in, so that a simulation can run it.
 */
import { logSeldom } from "../log.ts";
import { withDeadline } from "../protocol/deadline.ts";
import type { Runtime } from "../runtime.ts";
import { addToSeries, type Point } from "./answers.ts";
import { Bin, OTHER_NAME } from "./bin.ts";
import { EventRows, type EventStorage } from "./event-rows.ts";
import { type Batch, EventStore, type TallyAt } from "./event-store.ts";
import { EVER, HOUR, LEVELS, type Level } from "./level.ts";
import type { Bins, Read, Said, SeriesRead, TallyRead } from "./rpc.ts";
import type { EncodedTally, Tally, ValueHash } from "./tally.ts";

export interface EventOwnerOptions {
  name: string;
  runtime: Runtime;
  storage: EventStorage & Pick<DurableObjectStorage, "setAlarm" | "deleteAll">;
  hash: ValueHash;
  /** Tells the directory that this owner holds events. */
  announce: () => Promise<void>;
}

/** The longest that events are in memory alone. */
export const WRITE_MS = 2_000;
/** The most memory that one answer takes; past it, light tuples are evicted as in a bin. */
const ANSWER_BYTES = 12_000_000;
const ANNOUNCE_MS = 24 * HOUR.ms;
const ANNOUNCE_DEADLINE_MS = 2_000;

export class EventOwner {
  readonly #options: EventOwnerOptions;
  #loaded: EventStore | undefined;
  #isWriteDue = false;
  #announcedMs = Number.NEGATIVE_INFINITY;
  #alarmMs = 0;

  constructor(options: EventOwnerOptions) {
    this.#options = options;
    this.#loaded = this.#store;
  }

  async record(batch: Batch): Promise<void> {
    const { runtime } = this.#options;
    if (runtime.now() - this.#announcedMs >= ANNOUNCE_MS) await this.#announce();
    this.#store.record(batch, runtime.now());
    this.#writeSoon();
  }

  /**
   * Answers several reads. Sums since the beginning are written first, and the runtime holds the
   * answer until they are on disk. So no crash takes back what a sum has shown. If a sum fell,
   * Prometheus would believe that it had begun again at 0.
   */
  read(reads: readonly Read[]): Said[] {
    // Saving writes before its first `await`.
    if (reads.some(({ bins }) => bins.level === EVER.name)) void this.#save();
    return reads.map((read) => (read.what === "tally" ? this.#tally(read) : this.#series(read)));
  }

  /** Drops bins whose time is over, when the alarm goes off, and all storage if nothing is left. */
  async wake(): Promise<void> {
    const { storage, runtime } = this.#options;
    const nowMs = runtime.now();
    if (!this.#store.wake(nowMs)) {
      await storage.setAlarm(nowMs + HOUR.keptMs);
      return;
    }
    this.#loaded = undefined;
    await storage.deleteAll();
  }

  /** The store, which is made anew after its storage was deleted. */
  get #store(): EventStore {
    const { storage, hash } = this.#options;
    this.#loaded ??= new EventStore(new EventRows(storage), hash);
    return this.#loaded;
  }

  #tally({ name, bins, heaviest }: TallyRead): EncodedTally | null {
    const tally = this.#sum(name, bins);
    if (!tally || !heaviest) return tally?.encode() ?? null;
    const weighed = heaviest.lately ? this.#sum(name, heaviest.lately) : tally;
    return weighed ? tally.heaviest(heaviest, weighed).encode() : null;
  }

  #sum(name: string, bins: Bins): Tally | undefined {
    const sum = new Bin(bins.fromMs, ANSWER_BYTES, this.#options.hash);
    for (const { tally } of this.#tallies([name], bins)) sum.mergeTally(name, tally);
    return sum.tallies.get(name);
  }

  #series({ name, filter, bins }: SeriesRead): Point[] {
    const points = new Map<number, Point>();
    const tallies = this.#tallies(name === OTHER_NAME ? [name] : [name, OTHER_NAME], bins);
    addToSeries(points, tallies, { name, filter, level: levelNamed(bins.level) });
    return [...points.values()];
  }

  #tallies(names: readonly string[], { level, ...range }: Bins): Iterable<TallyAt> {
    const bins = { level: levelNamed(level), ...range };
    return this.#store.tallies(names, bins, this.#options.runtime.now());
  }

  #writeSoon(): void {
    if (this.#isWriteDue) return;
    this.#isWriteDue = true;
    this.#options.runtime.after(WRITE_MS, () => this.#write());
  }

  async #write(): Promise<void> {
    this.#isWriteDue = false;
    await this.#save();
    const { runtime } = this.#options;
    if (runtime.now() - this.#announcedMs >= ANNOUNCE_MS) await this.#announce();
    const isAnnounced = Number.isFinite(this.#announcedMs);
    if (!this.#store.isWritten || !isAnnounced) this.#writeSoon();
  }

  async #save(): Promise<void> {
    const { name, runtime, storage } = this.#options;
    const nowMs = runtime.now();
    try {
      this.#store.write(nowMs);
      if (nowMs - this.#alarmMs > HOUR.ms) {
        this.#alarmMs = nowMs;
        await storage.setAlarm(nowMs + HOUR.keptMs + HOUR.ms);
      }
    } catch (error) {
      logSeldom("error", "events-not-written", name, { owner: name, detail: String(error) });
    }
  }

  /** Tells the directory. If that fails, events count all the same: readers need it first, too. */
  async #announce(): Promise<void> {
    const { name, runtime, announce } = this.#options;
    try {
      await withDeadline(ANNOUNCE_DEADLINE_MS, announce(), runtime);
      this.#announcedMs = runtime.now();
    } catch (error) {
      logSeldom("warn", "event-directory-silent", name, { owner: name, detail: String(error) });
    }
  }
}

/** @throws {RangeError} for a level that this version does not know */
function levelNamed(name: string): Level {
  const level = [...LEVELS, EVER].find((each) => each.name === name);
  if (!level) throw new RangeError(`no level ${name}`);
  return level;
}
