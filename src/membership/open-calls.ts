/**
 * Bounds the calls to objects that hang. A call can't be cancelled, and keeps what it sends in
 * memory until it ends. So the more calls to an object are open, the longer is the pause before the
 * next: a day of hanging leaves some 400 open, not one a second.
 */

/** Calls to an object that may be open without a pause. Two may hang, and the third answer. */
const FREE_CALLS = 2;
/** What each further open call adds to the pause before the next. */
const PAUSE_MS = 1_000;

export class OpenCalls {
  readonly #calls = new Map<string, { open: number; begunMs: number }>();

  /**
   * Makes a call. It is open until it ends, however long others wait for it.
   *
   * @returns what it answers; undefined if it has to wait for its turn
   */
  begin<Reply>(name: string, nowMs: number, call: () => Promise<Reply>) {
    const { open, begunMs } = this.#calls.get(name) ?? { open: 0, begunMs: nowMs };
    const sinceMs = nowMs - begunMs;
    // Below 0, the clock was set back.
    if (sinceMs >= 0 && sinceMs < (open - FREE_CALLS) * PAUSE_MS) return undefined;
    this.#calls.set(name, { open: open + 1, begunMs: nowMs });
    return call().finally(() => this.#end(name));
  }

  #end(name: string): void {
    const calls = this.#calls.get(name);
    if (calls && calls.open > 1) calls.open--;
    else this.#calls.delete(name);
  }
}
