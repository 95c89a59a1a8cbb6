/** Runtimes for tests: one with a real clock and no timers, one whose time a test lets pass. */
import type { Runtime } from "../src/runtime.ts";

/** For what a test drives by hand: a clock, waits that are real, and no timer that fires. */
export const STILL: Runtime = {
  now: () => Date.now(),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  after: () => {},
  keepAlive: () => {},
};

/** Time that stands still until a test lets it pass, so that no machine is too slow. */
export class FakeTime {
  nowMs = 0;
  /** How long each wait is that was asked for, in order. */
  readonly asked: number[] = [];
  readonly runtime: Runtime = {
    ...STILL,
    now: () => this.nowMs,
    wait: (ms) => this.wait(ms),
  };
  #waits: { atMs: number; end: () => void }[] = [];

  wait(ms: number): Promise<void> {
    this.asked.push(ms);
    return new Promise((end) => {
      this.#waits.push({ atMs: this.nowMs + ms, end });
      this.#waits.sort((a, b) => a.atMs - b.atMs);
    });
  }

  /** Ends the waits that are over by then, one after the other. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    await turn();
    while ((this.#waits[0]?.atMs ?? Number.POSITIVE_INFINITY) <= endMs) await this.#next();
    this.nowMs = endMs;
  }

  /** Lets time pass until a promise is settled. */
  async until<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await turn();
    while (!isSettled && this.#waits.length > 0) await this.#next();
    return promise;
  }

  async #next(): Promise<void> {
    const next = this.#waits.shift();
    if (!next) return;
    this.nowMs = next.atMs;
    next.end();
    await turn();
  }
}

/** Until all that follows at once has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
