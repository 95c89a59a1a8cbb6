/** One life of an object or an isolate. Nothing that it does outlives it. */
import type { Runtime } from "../../src/runtime.ts";
import { type Disk, DiskView, newDisk } from "./disk.ts";
import type { Schedule } from "./schedule.ts";

/** The most that a clock is off. */
const MOST_SKEW_MS = 100;

export class Machine implements Runtime {
  readonly name: string;
  readonly storage: DiskView;
  isAlive = true;
  /** False once another life of the same object has begun. */
  isSole = true;
  /** How many timers and tasks keep it in memory. */
  timers = 0;
  /** Called when it dies, one for each call under way. */
  readonly calls = new Set<() => void>();
  readonly #schedule: Schedule;
  readonly #skewMs: number;
  readonly #onDeath: (machine: Machine) => void;

  constructor(
    name: string,
    schedule: Schedule,
    disk: Disk = newDisk(),
    onDeath: (machine: Machine) => void = () => {},
  ) {
    this.name = name;
    this.#schedule = schedule;
    this.#skewMs = schedule.int(-MOST_SKEW_MS, MOST_SKEW_MS);
    this.#onDeath = onDeath;
    this.storage = new DiskView(schedule, this, disk);
  }

  /** Whether the runtime may evict it, and nothing is lost. */
  get isIdle(): boolean {
    return this.timers === 0 && this.calls.size === 0 && this.storage.isQuiet;
  }

  now(): number {
    return this.#schedule.nowMs + this.#skewMs;
  }

  wait(ms: number, end?: AbortSignal | Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const callOff = this.#schedule.after(ms, () => {
        if (this.isAlive) resolve();
      });
      // As in the runtime, where most deadlines are called off in time.
      if (end instanceof Promise) end.then(callOff, callOff);
    });
  }

  after(ms: number, task: () => Promise<void>): void {
    this.timers++;
    this.#schedule.after(ms, () => {
      this.timers--;
      if (this.isAlive) this.keepAlive(task());
    });
  }

  /** Keeps the machine in memory until the task has ended, in whatever way. */
  keepAlive(task: Promise<unknown>): void {
    this.timers++;
    const ended = () => {
      this.timers--;
    };
    task.then(ended, ended);
  }

  die(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#onDeath(this);
    for (const broken of this.calls) broken();
    this.calls.clear();
  }
}
