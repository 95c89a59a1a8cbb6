/**
 * The Durable Object around an owner: native RPC in, storage and timer out, nothing decided here.
 *
 * Whatever is no RPC method is `#private`: TypeScript's `private` can still be called over RPC.
 */
import { DurableObject } from "cloudflare:workers";
import type { Verdict } from "../limit/decision.ts";
import type { Check } from "./counters.ts";
import { Owner } from "./owner.ts";

export class RateLimiter extends DurableObject {
  readonly #owner: Owner;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#owner = new Owner({
      clock: () => Date.now(),
      storage: ctx.storage,
      // A pending timer keeps the object in memory, so an idle one is on disk before it goes.
      after: (ms, task) => void setTimeout(() => ctx.waitUntil(task()), ms),
    });
    ctx.blockConcurrencyWhile(() => this.#owner.load());
  }

  /** See {@link Owner.check}. */
  check(batch: Check[]): Verdict[][] {
    return this.#owner.check(batch);
  }

  /** See {@link Owner.peek}. */
  peek(batch: Check[]): Verdict[][] {
    return this.#owner.peek(batch);
  }

  /** See {@link Owner.reset}. */
  reset(batch: Pick<Check, "key" | "policies">[]): void {
    this.#owner.reset(batch);
  }

  override async alarm(): Promise<void> {
    await this.#owner.wake();
  }
}
