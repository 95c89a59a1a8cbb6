/**
 * What an owner of events has counted: the open second, minute and hour and the sums since the
 * beginning in memory, all other bins on disk.
 *
 * An event counts when it arrives, by the owner's clock, in the open second. A second that ends is
 * added to its minute, and a minute to its hour. The seconds on disk are also a log: from it a
 * restarted owner makes its open minute and hour again, and learns which batches it has counted.
 * All I/O goes through `EventRows`, which reads and writes in the same turn.
 */
import { Bin } from "./bin.ts";
import type { EventRows, Line } from "./event-rows.ts";
import {
  DAY_PREFIX,
  EVER,
  EVER_PREFIX,
  HOUR,
  type Level,
  MINUTE,
  SECOND,
  startOf,
} from "./level.ts";
import { Tally, type ValueHash } from "./tally.ts";

/** What a sender sends an owner at a time. */
export interface Batch {
  /** A random name of the sender. */
  sender: string;
  /** Counts the sender's batches; a batch that is sent again keeps its number. */
  number: number;
  /** Name, key and amount of each tuple, one after the other. */
  counts: (string | number)[];
}

/** How long an owner knows which batches it counted. A sender gives up a batch long before. */
const SENDER_MEMORY_MS = 10 * MINUTE.ms;
/** The most bins that wait for a failing disk. Further seconds are added to the last of them. */
const MAX_UNWRITTEN = 30;

/** A bin that has yet to be written. */
interface Unwritten {
  level: Level;
  bin: Bin;
}

/** What was counted under a name in a bin, or in part of a bin. */
export interface TallyAt {
  startMs: number;
  name: string;
  tally: Tally;
}

export class EventStore {
  readonly #rows: EventRows;
  readonly #hash: ValueHash;
  /** Never runs backwards, not even if a restarted owner has another clock. */
  #nowMs = 0;
  #second: Bin;
  #minute: Bin;
  #hour: Bin;
  /** Everything before the open hour. */
  readonly #ever: Bin;
  #unwritten: Unwritten[] = [];
  /** The last batch of each sender, and when it came. */
  readonly #senders = new Map<string, { number: number; atMs: number }>();
  /** Senders whose last batch is not on disk. */
  readonly #unwrittenSenders = new Map<string, number>();

  /** Reads what is on disk. */
  constructor(rows: EventRows, hash: ValueHash) {
    this.#rows = rows;
    this.#hash = hash;
    this.#second = this.#newBin(SECOND, 0);
    this.#minute = this.#newBin(MINUTE, 0);
    this.#hour = this.#newBin(HOUR, 0);
    this.#ever = this.#newBin(EVER, 0);
    this.#load();
  }

  get isWritten(): boolean {
    return this.#unwritten.length === 0 && this.#second.tallies.size === 0;
  }

  /** Counts a batch, unless it was counted before. */
  record({ sender, number, counts }: Batch, nowMs: number): void {
    this.#advance(nowMs);
    if (number <= (this.#senders.get(sender)?.number ?? 0)) return;
    this.#senders.set(sender, { number, atMs: this.#nowMs });
    this.#unwrittenSenders.set(sender, number);
    for (let at = 0; at < counts.length; at += 3) {
      const [name, key, amount] = [counts[at], counts[at + 1], counts[at + 2]];
      this.#second.add(name as string, key as string, amount as number);
    }
  }

  /** Writes everything that is not on disk yet. If it throws, the next call writes the same. */
  write(nowMs: number): void {
    this.#advance(nowMs);
    this.#cut();
    const unwritten = this.#unwritten;
    if (unwritten.length === 0) return;
    const lines = unwritten.map(({ level, bin }): [Level, Line] => [level, { bin: bin.encode() }]);
    const seconds = lines.filter(([level]) => level === SECOND);
    const last = seconds.at(-1)?.[1];
    if (last) last.senders = [...this.#unwrittenSenders];
    this.#rows.write(lines);
    this.#unwritten = [];
    this.#unwrittenSenders.clear();
    if (lines.length > seconds.length) this.#prune();
  }

  /** Drops bins whose time is over. @returns whether nothing is left */
  wake(nowMs: number): boolean {
    this.#advance(nowMs);
    this.#prune();
    return this.isWritten && this.#rows.isEmpty;
  }

  /** Yields what the bins of a level counted under some names. An open bin comes in several parts. */
  *tallies(
    names: readonly string[],
    { level, fromMs, toMs }: { level: Level; fromMs: number; toMs: number },
    nowMs: number,
  ): Generator<TallyAt> {
    this.#advance(nowMs);
    const firstMs = startOf(level, fromMs);
    if (level !== EVER) {
      for (const { bin } of this.#rows.read(level, firstMs, toMs, names)) {
        const [startMs, ...tallies] = bin;
        for (const [name, encoded] of tallies) {
          if (!names.includes(name)) continue;
          yield { startMs, name, tally: Tally.decode(encoded, this.#hash) };
        }
      }
    }
    const waiting = this.#unwritten.filter((each) => each.level === level && level !== EVER);
    for (const bin of [...waiting.map((each) => each.bin), ...this.#open(level)]) {
      const startMs = startOf(level, bin.startMs);
      if (startMs < firstMs || startMs >= toMs) continue;
      for (const name of names) {
        const tally = bin.tallies.get(name);
        if (tally) yield { startMs, name, tally };
      }
    }
  }

  /** Ends the bins that are over. */
  #advance(nowMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    if (startOf(SECOND, this.#nowMs) !== this.#second.startMs) this.#cut();
    if (startOf(MINUTE, this.#nowMs) !== this.#minute.startMs) {
      this.#addToHour(this.#minute);
      this.#end(MINUTE, this.#minute);
      this.#minute = this.#newBin(MINUTE, this.#nowMs);
    }
    if (startOf(HOUR, this.#nowMs) !== this.#hour.startMs) {
      this.#end(HOUR, this.#hour);
      if (this.#addForEver(this.#hour)) this.#end(EVER, this.#ever);
      this.#hour = this.#newBin(HOUR, this.#nowMs);
    }
  }

  /** Adds the open second to its minute, and opens an empty second. */
  #cut(): void {
    this.#minute.merge(this.#second);
    this.#end(SECOND, this.#second);
    this.#second = this.#newBin(SECOND, this.#nowMs);
  }

  /** Returns the bins in memory whose events belong to the open bin of a level. */
  #open(level: Level): Bin[] {
    const finer = [SECOND, MINUTE, HOUR, EVER].indexOf(level) + 1;
    return [this.#second, this.#minute, this.#hour, this.#ever].slice(0, finer);
  }

  #addToHour({ tallies }: Bin): void {
    for (const [name, tally] of tallies) {
      if (!name.startsWith(DAY_PREFIX)) this.#hour.mergeTally(name, tally);
    }
  }

  /** @returns whether there was anything to add */
  #addForEver({ tallies }: Bin): boolean {
    const kept = [...tallies].filter(([name]) => name.startsWith(EVER_PREFIX));
    for (const [name, tally] of kept) this.#ever.mergeTally(name, tally);
    return kept.length > 0;
  }

  #end(level: Level, bin: Bin): void {
    if (bin.tallies.size === 0) return;
    const last = this.#unwritten.at(-1);
    const isFailing = this.#unwritten.length >= MAX_UNWRITTEN;
    if (isFailing && level === SECOND && last?.level === SECOND) last.bin.merge(bin);
    else this.#unwritten.push({ level, bin });
  }

  /** Makes the open minute and hour from the finer bins that no coarser bin on disk includes. */
  #load(): void {
    const hoursEndMs = this.#rows.lastStart(HOUR, -HOUR.ms) + HOUR.ms;
    const minutesEndMs = this.#rows.lastStart(MINUTE, -MINUTE.ms) + MINUTE.ms;
    for (const { bin } of this.#rows.read(EVER, 0)) this.#ever.merge(this.#decode(bin));
    for (const { bin } of this.#rows.read(MINUTE, hoursEndMs)) {
      this.#advance(bin[0]);
      this.#addToHour(this.#decode(bin));
    }
    for (const { bin, senders = [] } of this.#rows.read(SECOND, 0)) {
      for (const [sender, number] of senders) this.#senders.set(sender, { number, atMs: bin[0] });
      if (bin[0] < minutesEndMs) continue;
      this.#advance(bin[0]);
      this.#minute.merge(this.#decode(bin));
    }
    // After a clock was set back, events must not be added to a minute or hour that has ended.
    this.#advance(Math.max(hoursEndMs, minutesEndMs));
  }

  #prune(): void {
    this.#rows.prune(this.#nowMs);
    for (const [sender, { atMs }] of this.#senders) {
      if (this.#nowMs - atMs > SENDER_MEMORY_MS) this.#senders.delete(sender);
    }
  }

  #newBin(level: Level, atMs: number): Bin {
    return new Bin(startOf(level, atMs), level.maxBytes, this.#hash);
  }

  /** Decodes a bin from disk, which needs no bound: it had one when it was written. */
  #decode(bin: Line["bin"]): Bin {
    return Bin.decode(bin, Number.POSITIVE_INFINITY, this.#hash);
  }
}
