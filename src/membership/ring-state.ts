/**
 * What a membership object has on disk, and the alarm that goes with it.
 *
 * Both are written in one turn, and so reach the disk together. Without the alarm, nothing would
 * resume a change after a crash.
 */

import { ownerNames, type RingRecord } from "../protocol/ring-record.ts";
import type { Region } from "../ring/region.ts";
import type { Runtime } from "../runtime.ts";
import { ownersForQuiet, QUIET_MS, type ScalingLimits } from "./autoscaling.ts";

export type RingStorage = Pick<DurableObjectStorage, "get" | "put" | "setAlarm" | "deleteAlarm">;

export interface RingStateOptions extends ScalingLimits {
  region: Region;
  /** How many owners the region begins with. */
  ownersPerRegion: number;
  runtime: Runtime;
  storage: RingStorage;
}

export interface Stored {
  record: RingRecord;
  /** Owners that have yet to get the settled ring; empty if no change is under way. */
  pending: string[];
  /** When the last change began, ms since the epoch. */
  changedMs: number;
  /** When each owner joined, ms since the epoch. */
  joinedMs: Record<string, number>;
  /**
   * Owners that were given up. An owner with `isLeaving` is told that it has left, and stays out.
   */
  down: { owner: string; isLeaving: boolean }[];
  /** When an owner was last busy, or their number last changed, ms since the epoch. */
  busyMs: number;
}

const STORAGE_KEY = "members";
/** Time between two tries at an interrupted change. */
export const RETRY_MS = 1_000;
/** Time between two calls to an owner that is down. */
export const PROBE_MS = 10_000;

export class RingState {
  readonly #options: RingStateOptions;
  #stored: Stored | undefined;

  constructor(options: RingStateOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    this.#stored = await this.#options.storage.get<Stored>(STORAGE_KEY);
  }

  /** Whether anyone has asked for the ring yet. */
  get isUsed(): boolean {
    return this.#stored !== undefined;
  }

  /** What is stored. Read it only if `isUsed`. */
  get current(): Stored {
    return this.#stored as Stored;
  }

  /** Writes the ring that the region begins with, unless there is one. */
  async begin(): Promise<Stored> {
    if (this.#stored) return this.#stored;
    const { region, ownersPerRegion, runtime } = this.#options;
    const owners = ownerNames(region, ownersPerRegion);
    const nowMs = runtime.now();
    await this.store({
      record: { version: 1, owners, lost: [] },
      pending: [],
      changedMs: nowMs,
      joinedMs: Object.fromEntries(owners.map((owner) => [owner, nowMs])),
      down: [],
      busyMs: nowMs,
    });
    return this.current;
  }

  async store(changes: Partial<Stored>): Promise<void> {
    this.#stored = { ...this.current, ...changes };
    await Promise.all([this.#options.storage.put(STORAGE_KEY, this.#stored), this.setAlarm()]);
  }

  /** Sets the alarm for what is due next, or deletes it if nothing is. */
  async setAlarm(): Promise<void> {
    const { runtime, storage } = this.#options;
    const { pending, down, busyMs, record } = this.current;
    const nowMs = runtime.now();
    const times: number[] = [];
    if (pending.length > 0) times.push(nowMs + RETRY_MS);
    if (down.length > 0) times.push(nowMs + PROBE_MS);
    const { length } = record.owners;
    if (ownersForQuiet(length, this.#options) < length) {
      // Never in the past: the live policies' alarm sets the next one before the ring may shrink.
      times.push(Math.max(busyMs + QUIET_MS, nowMs + RETRY_MS));
    }
    if (times.length > 0) await storage.setAlarm(Math.min(...times));
    else await storage.deleteAlarm();
  }
}
