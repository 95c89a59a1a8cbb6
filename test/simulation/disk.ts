/**
 * What an object has on disk, and its storage as one life of the object sees it.
 *
 * As in the runtime, writes of one turn reach the disk together and in order, a little later. A
 * crash loses writes that have not arrived. A confirmed write holds back all messages sent after
 * it.
 */

import type { RingStorage } from "../../src/membership/ring-state.ts";
import type { OwnerStorage } from "../../src/owner/stored-counters.ts";
import { copied } from "../owner/copied.ts";
import { listed } from "../owner/listed.ts";
import type { Schedule } from "./schedule.ts";

/** The longest time from a write until it is on disk. */
export const MOST_COMMIT_MS = 6;

export interface Disk {
  entries: Map<string, unknown>;
  alarmMs: number | null;
  /** Called when an alarm has been set. */
  onAlarm: (atMs: number) => void;
}

/** Receives writes, and which are on disk. Each write has a higher number than earlier ones. */
export interface DiskWatcher {
  wrote(key: string, number: number): void;
  durable(number: number): void;
}

/** The life that writes. Its writes are refused once it is dead or another life has begun. */
interface Writer {
  readonly isAlive: boolean;
  readonly isSole: boolean;
  /** Called when a write fails. */
  die(): void;
}

type Write = (disk: Disk) => void;
interface Commit {
  number: number;
  writes: Write[];
}

type Options = { allowUnconfirmed?: boolean };

export function newDisk(onAlarm: (atMs: number) => void = () => {}): Disk {
  return { entries: new Map(), alarmMs: null, onAlarm };
}

export class DiskView implements OwnerStorage, RingStorage {
  watcher: DiskWatcher | undefined;
  readonly #schedule: Schedule;
  readonly #writer: Writer;
  readonly #disk: Disk;
  /** What this life reads. */
  readonly #view: Disk;
  /** Writes of this turn. */
  #turn: Write[] | undefined;
  /** Writes of earlier turns, on their way to the disk. */
  readonly #commits: Commit[] = [];
  #written = 0;
  #confirmed = 0;
  #durable = 0;
  #lastMs = 0;
  #waiting: { number: number; resolve: () => void }[] = [];

  constructor(schedule: Schedule, writer: Writer, disk: Disk) {
    this.#schedule = schedule;
    this.#writer = writer;
    this.#disk = disk;
    this.#view = { entries: new Map(disk.entries), alarmMs: disk.alarmMs, onAlarm: () => {} };
  }

  /** Whether all that was written is on disk. */
  get isQuiet(): boolean {
    return this.#durable === this.#written;
  }

  /**
   * Resolves when all confirmed writes are on disk; undefined if they are. No message leaves
   * before.
   */
  gate(): Promise<void> | undefined {
    return this.#confirmed > this.#durable ? this.#when(this.#confirmed) : undefined;
  }

  async get(key: string | string[]): Promise<never> {
    return copied(this.#view.entries.get(key as string)) as never;
  }

  async list<T>(options?: DurableObjectListOptions): Promise<Map<string, T>> {
    const entries = listed(this.#view.entries, options);
    return new Map(entries.map(([key, value]) => [key, copied(value) as T]));
  }

  async put(entries: string | object, value?: unknown, options?: Options): Promise<void> {
    const isOne = typeof entries === "string";
    const given = isOne ? [[entries, value] as const] : Object.entries(entries);
    const copies = given.map(([key, each]) => [key, copied(each)] as const);
    this.#write(isOne ? options : (value as Options), (disk) => {
      for (const [key, each] of copies) disk.entries.set(key, each);
    });
    for (const [key] of copies) this.watcher?.wrote(key, this.#written);
  }

  async delete(keys: string | string[], options?: Options): Promise<never> {
    this.#write(options, ({ entries }) => {
      for (const key of [keys].flat()) entries.delete(key);
    });
    return 0 as never;
  }

  async deleteAll(): Promise<void> {
    this.#write({}, (disk) => {
      disk.entries.clear();
      disk.alarmMs = null;
    });
    this.watcher?.wrote("", this.#written);
  }

  async sync(): Promise<void> {
    if (!this.isQuiet) await this.#when(this.#written);
  }

  async getAlarm(): Promise<number | null> {
    return this.#view.alarmMs;
  }

  async setAlarm(time: number | Date, options?: Options): Promise<void> {
    this.#write(options, (disk) => {
      disk.alarmMs = Number(time);
    });
  }

  async deleteAlarm(options?: Options): Promise<void> {
    this.#write(options, (disk) => {
      disk.alarmMs = null;
    });
  }

  #when(number: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ number, resolve }));
  }

  #write(options: Options | undefined, write: Write): void {
    write(this.#view);
    if (!this.#turn) {
      this.#turn = [];
      this.#written++;
      queueMicrotask(() => this.#commit());
    }
    this.#turn.push(write);
    if (!options?.allowUnconfirmed) this.#confirmed = this.#written;
  }

  #commit(): void {
    this.#commits.push({ number: this.#written, writes: this.#turn as Write[] });
    this.#turn = undefined;
    const { nowMs } = this.#schedule;
    this.#lastMs = Math.max(this.#lastMs, nowMs + this.#schedule.int(0, MOST_COMMIT_MS));
    this.#schedule.at(this.#lastMs, () => {
      if (!this.#writer.isAlive) return;
      if (!this.#writer.isSole) {
        this.#writer.die();
        return;
      }
      // Takes the first commit: of two that arrive at one moment, either may run first.
      const { number, writes } = this.#commits.shift() as Commit;
      const beforeMs = this.#disk.alarmMs;
      for (const write of writes) write(this.#disk);
      const { alarmMs, onAlarm } = this.#disk;
      if (alarmMs !== null && alarmMs !== beforeMs) onAlarm(alarmMs);
      this.#durable = number;
      this.watcher?.durable(number);
      for (const { resolve } of this.#waiting.filter((each) => each.number <= number)) resolve();
      this.#waiting = this.#waiting.filter((each) => each.number > number);
    });
  }
}
