/**
 * The Durable Object around an owner: native RPC in, storage and timer out, nothing decided here.
 *
 * Each method is the owner's of the same name. Whatever is no RPC method is `#private`:
 * TypeScript's `private` can still be called over RPC.
 */
import { DurableObject } from "cloudflare:workers";
import type { KeyHash } from "../ring/key-hash.ts";
import type { Check, Explanation } from "./counters.ts";
import { Owner } from "./owner.ts";
import { decodeBatch, encodeAnswer, type WireAnswer, type WireBatch } from "./wire.ts";

export class RateLimiter extends DurableObject {
  readonly #owner: Owner;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#owner = new Owner({
      // Read anew each time: a test may put another clock in its place.
      clock: () => Date.now(),
      storage: ctx.storage,
      // A pending timer keeps the object in memory, so an idle one is on disk before it goes.
      after: (ms, task) => void setTimeout(() => ctx.waitUntil(task()), ms),
    });
    ctx.blockConcurrencyWhile(() => this.#owner.load());
  }

  check(batch: WireBatch): WireAnswer {
    return encodeAnswer(this.#owner.check(decodeBatch(batch)));
  }

  peek(batch: WireBatch): WireAnswer {
    return encodeAnswer(this.#owner.peek(decodeBatch(batch)));
  }

  refund(batch: WireBatch): WireAnswer {
    return encodeAnswer(this.#owner.refund(decodeBatch(batch)));
  }

  reset(batch: Check[]): void {
    this.#owner.reset(batch);
  }

  block(key: KeyHash, durationMs: number): void {
    this.#owner.block(key, durationMs);
  }

  unblock(key: KeyHash): void {
    this.#owner.unblock(key);
  }

  explain(check: Check): { blockedMs: number; policies: Explanation[] } {
    return this.#owner.explain(check);
  }

  override async alarm(): Promise<void> {
    await this.#owner.wake();
  }
}
