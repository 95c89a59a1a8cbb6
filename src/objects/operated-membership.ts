/** The Durable Object around a region's members where an operator may change them, as by the API. */
import { Coordinator } from "../membership/coordinator.ts";
import type { MembershipRpc, Refusal, RingStatus } from "../protocol/rpc.ts";
import { Membership } from "./membership.ts";

export class OperatedMembership extends Membership implements MembershipRpc {
  readonly #coordinator: Coordinator;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    let made!: Coordinator;
    super(ctx, env, (options) => {
      made = new Coordinator(options);
      return made;
    });
    this.#coordinator = made;
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
}
