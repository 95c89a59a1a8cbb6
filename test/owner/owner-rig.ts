/** An owner outside a Durable Object, with a clock that is set and storage that stays. */
import { checkOnce } from "../../src/counters/answers.ts";
import { meteredStorage, type OnWritten } from "../../src/owner/metered-storage.ts";
import { Owner } from "../../src/owner/owner.ts";
import { STILL } from "../fake-runtime.ts";
import { MemoryStorage } from "./memory-storage.ts";

/** An owner that a test can run, crash, and start again on the same storage. */
export class OwnerRig {
  nowMs = 1_700_000_000_000;
  readonly storage = new MemoryStorage();
  /** Called with what is written, if it is set before a start; see `meteredStorage`. */
  onWritten: OnWritten | undefined;
  #timers: { atMs: number; task: () => Promise<void> }[] = [];

  /** @param maxBytes as in `OwnerOptions` */
  async start(maxBytes?: number): Promise<Owner> {
    this.#timers = [];
    const { onWritten } = this;
    const owner = new Owner({
      runtime: {
        ...STILL,
        now: () => this.nowMs,
        after: (ms, task) => void this.#timers.push({ atMs: this.nowMs + ms, task }),
      },
      storage: onWritten ? meteredStorage(this.storage, () => this.nowMs, onWritten) : this.storage,
      maxBytes,
      checkOnce,
    });
    await owner.load();
    return owner;
  }

  /** Whether a timer keeps the owner in memory. */
  get isAwake(): boolean {
    return this.#timers.length > 0;
  }

  /** Returns another machine with a copy of this one's disk. */
  copy(): OwnerRig {
    const rig = new OwnerRig();
    rig.nowMs = this.nowMs;
    for (const [key, value] of this.storage.entries) rig.storage.entries.set(key, value);
    return rig;
  }

  /** Moves the clock, and runs the timers that fall due on the way. */
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
