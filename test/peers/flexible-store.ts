/**
 * What `rate-limiter-flexible` asks of a limiter, of the README's store and the API's blocks.
 *
 * A key's window is the limiter's: there is no `set` to points for another duration.
 */
import { RateLimiterCompatibleAbstract, RateLimiterRes } from "rate-limiter-flexible";
import type { TurnpikeStore } from "../../src/store.ts";

interface Options {
  store: TurnpikeStore;
  points: number;
  /** Seconds. */
  duration: number;
}

type Hits = Awaited<ReturnType<TurnpikeStore["increment"]>>;

export class FlexibleStore extends RateLimiterCompatibleAbstract {
  override readonly keyPrefix: string;
  readonly #store: TurnpikeStore;
  readonly #points: number;

  constructor({ store, points, duration }: Options) {
    super();
    this.keyPrefix = store.prefix;
    this.#store = store;
    this.#points = points;
    store.init({ windowMs: duration * 1_000 });
  }

  override async consume(key: string | number, points = 1): Promise<RateLimiterRes> {
    const result = this.#result(await this.#store.increment(`${key}`, points), points);
    if (result.consumedPoints > this.#points) throw result;
    return result;
  }

  override async penalty(key: string | number, points = 1): Promise<RateLimiterRes> {
    return this.#result(await this.#store.increment(`${key}`, points), points);
  }

  /** Never goes below 0. */
  override async reward(key: string | number, points = 1): Promise<RateLimiterRes> {
    await this.#store.decrement(`${key}`, points);
    return (await this.get(key)) ?? new RateLimiterRes(this.#points, 0, 0);
  }

  override async get(key: string | number): Promise<RateLimiterRes | null> {
    const hits = await this.#store.get(`${key}`);
    return hits ? this.#result(hits) : null;
  }

  override async delete(key: string | number): Promise<boolean> {
    const isThere = (await this.get(key)) !== null;
    await this.#store.resetKey(`${key}`);
    return isThere;
  }

  #result({ totalHits, resetTime }: Hits, points?: number): RateLimiterRes {
    const left = Math.max(0, this.#points - totalHits);
    return new RateLimiterRes(
      left,
      resetTime.getTime() - Date.now(),
      totalHits,
      totalHits === points,
    );
  }
}
