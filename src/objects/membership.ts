/**
 * The Durable Object around a region's members: native RPC in, calls to owners out, nothing decided
 * here.
 *
 * Named after its region, and created there. No check ever waits for it, but the first that an
 * owner gets in its life.
 */
import { DurableObject } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import { Coordinator } from "../membership/coordinator.ts";
import type { OwnerLink } from "../membership/ring-change.ts";
import type { Bindings } from "../protocol/bindings.ts";
import { withDeadline } from "../protocol/deadline.ts";
import type { RingRecord } from "../protocol/ring-record.ts";
import { type MembershipRpc, type Refusal, type RingStatus, stubOf } from "../protocol/rpc.ts";
import type { Region } from "../ring/region.ts";
import { type Runtime, runtimeWith } from "../runtime.ts";

/** How long an owner may take to hear of a ring, which may have it let go of a million keys. */
const ADOPT_DEADLINE_MS = 5_000;
/** How long an owner may take over before it must have said how far it came. */
const TAKE_OVER_DEADLINE_MS = 15_000;
/** How long an owner may take to say how it is. */
const STATUS_DEADLINE_MS = 1_000;

export class Membership extends DurableObject implements MembershipRpc {
  readonly #coordinator: Coordinator;
  readonly #bindings: Bindings;
  readonly #runtime: Runtime;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#bindings = env as unknown as Bindings;
    const { ownersPerRegion, minOwners, maxOwners, highWater } = parseLimiterConfig(env);
    this.#runtime = runtimeWith((task) => ctx.waitUntil(task));
    this.#coordinator = new Coordinator({
      region: ctx.id.name as Region,
      startingOwners: ownersPerRegion,
      minOwners,
      maxOwners,
      highWater,
      runtime: this.#runtime,
      storage: ctx.storage,
      link: (owner) => this.#link(owner),
    });
    ctx.blockConcurrencyWhile(() => this.#coordinator.load());
  }

  ring(): Promise<RingRecord> {
    return this.#coordinator.ring();
  }

  /** Says how the ring is; null where no owner has ever asked for it, unless it is wanted. */
  async status(isWanted: boolean): Promise<RingStatus | null> {
    return isWanted || this.#coordinator.isUsed ? this.#coordinator.status() : null;
  }

  add(name?: string): Promise<Refusal | undefined> {
    return this.#coordinator.add(name);
  }

  remove(name: string): Promise<Refusal | undefined> {
    return this.#coordinator.remove(name);
  }

  reportLoad(owner: string, checksPerSecond: number): Promise<void> {
    return this.#coordinator.reportLoad(owner, checksPerSecond);
  }

  reportFailure(owner: string, reporter: string): Promise<void> {
    return this.#coordinator.reportFailure(owner, reporter);
  }

  override async alarm(): Promise<void> {
    await this.#coordinator.wake();
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
