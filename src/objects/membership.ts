/**
 * The Durable Object of a region's ring: native RPC in; storage and calls to owners out. It decides
 * nothing.
 *
 * It is named after its region and created there. A check waits for it only if its owner has no
 * ring yet, or if the caller knows a later one.
 */
import { DurableObject, exports } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import { RingKeeper, type RingKeeperOptions } from "../membership/ring-keeper.ts";
import { bindingsOf } from "../protocol/bindings.ts";
import { type RingRpc, stubOf } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";
import { runtimeWith } from "../runtime.ts";

export class Membership extends DurableObject implements RingRpc {
  readonly #keeper: RingKeeper;

  /** @param keep makes the keeper of the ring */
  constructor(
    ctx: DurableObjectState,
    env: Cloudflare.Env,
    keep = (options: RingKeeperOptions) => new RingKeeper(options),
  ) {
    super(ctx, env);
    const { TURNPIKE_OWNERS: owners } = bindingsOf(env, exports);
    this.#keeper = keep({
      ...parseLimiterConfig(env),
      region: ctx.id.name as Region,
      runtime: runtimeWith((task) => ctx.waitUntil(task)),
      storage: ctx.storage,
      ownerStub: (owner) => stubOf(owners, owner),
    });
    ctx.blockConcurrencyWhile(() => this.#keeper.load());
  }

  ring() {
    return this.#keeper.ring();
  }

  async ringIfUsed() {
    return this.#keeper.isUsed ? this.#keeper.ring() : null;
  }

  reportLoad(owner: string, checksPerSecond: number) {
    return this.#keeper.reportLoad(owner, checksPerSecond);
  }

  reportFailure(owner: string, reporter: string) {
    return this.#keeper.reportFailure(owner, reporter);
  }

  override alarm() {
    return this.#keeper.wake();
  }
}
