/**
 * The Durable Object of an owner: native RPC in; storage, timers and calls to others out. It
 * decides nothing.
 *
 * Each method calls the method of `RingOwner` with the same name. Everything else is `#private`:
 * TypeScript's `private` can still be called over RPC.
 */
import { DurableObject, exports } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import { RingOwner, type RingOwnerOptions } from "../owner/change/ring-owner.ts";
import { bindingsOf } from "../protocol/bindings.ts";
import type { RingRecord } from "../protocol/ring-record.ts";
import { type OwnerRpc, stubOf } from "../protocol/rpc.ts";
import type { WireBatch } from "../protocol/wire.ts";
import type { KeyHash } from "../ring/key-hash.ts";
import { runtimeWith } from "../runtime.ts";

export class RateLimiter extends DurableObject implements OwnerRpc {
  /** Set in the deployed Worker: only its callers send a `requestId`. */
  static checkOnce: RingOwnerOptions["checkOnce"];
  /**
   * Called with the number of counters that an owner evicted; set if the limiter watches itself.
   */
  static onEvicted: ((owner: string, count: number) => void) | undefined;
  readonly #owner: RingOwner;

  /** @param own makes the owner */
  constructor(
    ctx: DurableObjectState,
    env: Cloudflare.Env,
    own = (options: RingOwnerOptions) => new RingOwner(options),
  ) {
    super(ctx, env);
    const { TURNPIKE_OWNERS: owners, TURNPIKE_MEMBERSHIP: membership } = bindingsOf(env, exports);
    const name = ctx.id.name ?? "";
    this.#owner = own({
      ...parseLimiterConfig(env),
      name,
      runtime: runtimeWith((task) => ctx.waitUntil(task)),
      storage: ctx.storage,
      ownerStub: (other) => stubOf(owners, other),
      membershipStub: membership && ((region) => stubOf(membership, region)),
      checkOnce: RateLimiter.checkOnce,
      onEvicted: (count) => RateLimiter.onEvicted?.(name, count),
    });
    ctx.blockConcurrencyWhile(() => this.#owner.load());
  }

  check(batch: WireBatch) {
    return this.#owner.check(batch);
  }

  peek(batch: WireBatch) {
    return this.#owner.peek(batch);
  }

  refund(batch: WireBatch) {
    return this.#owner.refund(batch);
  }

  reset(batch: WireBatch) {
    return this.#owner.reset(batch);
  }

  block(version: number, key: KeyHash, durationMs: number) {
    return this.#owner.block(version, key, durationMs);
  }

  unblock(version: number, key: KeyHash) {
    return this.#owner.unblock(version, key);
  }

  override(...of: Parameters<OwnerRpc["override"]>) {
    return this.#owner.override(...of);
  }

  explain(batch: WireBatch) {
    return this.#owner.explain(batch);
  }

  release(version: number, keys: KeyHash[]) {
    return this.#owner.release(version, keys);
  }

  releaseSome(version: number, to: string, cursor: number) {
    return this.#owner.releaseSome(version, to, cursor);
  }

  adopt(record: RingRecord) {
    return this.#owner.adopt(record);
  }

  takeOver(version: number) {
    return this.#owner.takeOver(version);
  }

  status() {
    return this.#owner.status();
  }

  override alarm() {
    return this.#owner.wake();
  }
}
