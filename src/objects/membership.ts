/**
 * The Durable Object around a region's coordinator: native RPC in, calls to owners out. It decides
 * nothing.
 *
 * Named after its region, and created there. A check waits for it only if its owner has no ring
 * yet, or if the caller knows a later one.
 */
import { DurableObject } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import type { OwnerLink } from "../membership/ring-change.ts";
import { RingKeeper, type RingKeeperOptions } from "../membership/ring-keeper.ts";
import type { Bindings } from "../protocol/bindings.ts";
import { withDeadline } from "../protocol/deadline.ts";
import type { RingRecord } from "../protocol/ring-record.ts";
import { type RingRpc, stubOf } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";
import { type Runtime, runtimeWith } from "../runtime.ts";

/** How long an owner may take to adopt a ring, for which it may have to delete a million keys. */
const ADOPT_DEADLINE_MS = 5_000;
/** How long an owner may take over before it must say how far it has come. */
const TAKE_OVER_DEADLINE_MS = 15_000;
/** How long an owner may take to return its status. */
const STATUS_DEADLINE_MS = 1_000;

export class Membership extends DurableObject implements RingRpc {
  readonly #keeper: RingKeeper;
  readonly #bindings: Bindings;
  readonly #runtime: Runtime;

  /** @param keep makes what keeps the ring */
  constructor(
    ctx: DurableObjectState,
    env: Cloudflare.Env,
    keep = (options: RingKeeperOptions) => new RingKeeper(options),
  ) {
    super(ctx, env);
    this.#bindings = env as unknown as Bindings;
    const { ownersPerRegion, minOwners, maxOwners, highWater } = parseLimiterConfig(env);
    this.#runtime = runtimeWith((task) => ctx.waitUntil(task));
    this.#keeper = keep({
      region: ctx.id.name as Region,
      startingOwners: ownersPerRegion,
      minOwners,
      maxOwners,
      highWater,
      runtime: this.#runtime,
      storage: ctx.storage,
      link: (owner) => this.#link(owner),
    });
    ctx.blockConcurrencyWhile(() => this.#keeper.load());
  }

  ring(): Promise<RingRecord> {
    return this.#keeper.ring();
  }

  reportLoad(owner: string, checksPerSecond: number): Promise<void> {
    return this.#keeper.reportLoad(owner, checksPerSecond);
  }

  reportFailure(owner: string, reporter: string): Promise<void> {
    return this.#keeper.reportFailure(owner, reporter);
  }

  override async alarm(): Promise<void> {
    await this.#keeper.wake();
  }

  #link(owner: string): OwnerLink {
    const stub = () => stubOf(this.#bindings.TURNPIKE_OWNERS, owner);
    const runtime = this.#runtime;
    return {
      adopt: (record) => withDeadline(ADOPT_DEADLINE_MS, stub().adopt(record), runtime),
      takeOver: (version) => withDeadline(TAKE_OVER_DEADLINE_MS, stub().takeOver(version), runtime),
      status: () => withDeadline(STATUS_DEADLINE_MS, stub().status(), runtime),
    };
  }
}
