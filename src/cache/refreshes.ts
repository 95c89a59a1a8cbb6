/** Values that this isolate refreshes in the background, while the stale ones are served. */
import { WORKERS } from "../runtime.ts";

/** How long a request may go on after its answer. Then the runtime ends it without a word. */
const REQUEST_MS = 30_000;
/** The most keys that are remembered. Past it, two requests may refresh the same key. */
const MAX_KEYS = 1_000;

export class Refreshes {
  /** Until when each key counts as being refreshed. A time, since the request may be ended. */
  readonly #untilMs = new Map<string, number>();

  /** Refreshes a value, unless that is under way. If it fails, the stale value is served on. */
  begin(key: string, refresh: () => Promise<unknown>): void {
    const nowMs = WORKERS.now();
    if (nowMs < (this.#untilMs.get(key) ?? 0)) return;
    if (this.#untilMs.size >= MAX_KEYS) this.#untilMs.clear();
    const untilMs = nowMs + REQUEST_MS;
    this.#untilMs.set(key, untilMs);
    const end = () => {
      // A later refresh of the key may be under way by now.
      if (this.#untilMs.get(key) === untilMs) this.#untilMs.delete(key);
    };
    WORKERS.keepAlive(refresh().then(end, end));
  }
}
