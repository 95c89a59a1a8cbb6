/**
 * Storage and time for an owner outside a Durable Object: what was written, and a clock that is
 * set.
 */

import { checkOnce } from "../../src/counters/answers.ts";
import type { OwnerStorage } from "../../src/owner/owner.ts";
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { listed } from "./listed.ts";

export class MemoryStorage implements OwnerStorage {
  entries = new Map<string, unknown>();
  alarmMs: number | null = null;
  puts = 0;
  /** Bytes of tables that were put. */
  bytes = 0;

  async list<T>(options?: DurableObjectListOptions): Promise<Map<string, T>> {
    return new Map(structuredClone(listed(this.entries, options))) as Map<string, T>;
  }
  async get(key: string | string[]): Promise<never> {
    return structuredClone(this.entries.get(String(key))) as never;
  }
  async put(entries: string | object): Promise<void> {
    this.puts++;
    for (const [key, value] of Object.entries(entries)) {
      this.entries.set(key, structuredClone(value));
      if (value instanceof Uint8Array) this.bytes += value.length;
    }
  }
  async delete(keys: string | string[]): Promise<never> {
    for (const key of keys) this.entries.delete(key);
    return 0 as never;
  }
  async deleteAll(): Promise<void> {
    this.entries.clear();
    this.alarmMs = null;
  }
  async sync(): Promise<void> {}
  async getAlarm(): Promise<number | null> {
    return this.alarmMs;
  }
  async setAlarm(time: number | Date): Promise<void> {
    this.alarmMs = Number(time);
  }
}

/** A machine for one owner: it can be let run, crashed, and started again on the same storage. */
export class Bench {
  nowMs = 1_700_000_000_000;
  readonly storage = new MemoryStorage();
  #timers: { atMs: number; task: () => Promise<void> }[] = [];

  /** @param maxBytes as in `OwnerOptions` */
  async start(maxBytes?: number): Promise<Owner> {
    this.#timers = [];
    const owner = new Owner({
      runtime: {
        ...STILL,
        now: () => this.nowMs,
        after: (ms, task) => void this.#timers.push({ atMs: this.nowMs + ms, task }),
      },
      storage: this.storage,
      maxBytes,
      checkOnce,
    });
    await owner.load();
    return owner;
  }

  /** Another machine with what is on the disk of this one. */
  copy(): Bench {
    const bench = new Bench();
    bench.nowMs = this.nowMs;
    for (const [key, value] of this.storage.entries) bench.storage.entries.set(key, value);
    return bench;
  }

  /** Moves the clock, running what falls due on the way. */
  async wait(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#timers
        .filter(({ atMs }) => atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      await next.task();
    }
    this.nowMs = endMs;
  }
}
