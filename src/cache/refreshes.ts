/** What this isolate has made anew in the background, while the stale one is served. */
import { WORKERS } from "../runtime.ts";

/** How long a request may go on after its answer: then the runtime ends it, and nobody hears. */
const REQUEST_MS = 30_000;
/** The most keys that are remembered. Past it, one may be made anew by two requests. */
const MAX_KEYS = 1_000;

export class Refreshes {
  /** Until when each key is being made anew. A time, since the one that does so may be ended. */
  readonly #untilMs = new Map<string, number>();

  /** Has a value made anew, unless that is under way. If it fails, the stale one is served on. */
  begin(key: string, refresh: () => Promise<unknown>): void {
    const nowMs = WORKERS.now();
    if (nowMs < (this.#untilMs.get(key) ?? 0)) return;
    if (this.#untilMs.size >= MAX_KEYS) this.#untilMs.clear();
    this.#untilMs.set(key, nowMs + REQUEST_MS);
    const end = () => this.#untilMs.delete(key);
    WORKERS.keepAlive(refresh().then(end, end));
  }
}
