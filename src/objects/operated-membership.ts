/** The Durable Object of a region's ring that an operator may change, as the deployed Worker has it. */
import { Coordinator } from "../membership/coordinator.ts";
import type { MembershipRpc } from "../protocol/rpc.ts";
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

  /** Returns the ring's status; null if no owner has asked for the ring yet, unless it is wanted. */
  async status(isWanted: boolean) {
    return isWanted || this.#coordinator.isUsed ? this.#coordinator.status() : null;
  }

  add(name?: string) {
    return this.#coordinator.add(name);
  }

  remove(name: string) {
    return this.#coordinator.remove(name);
  }
}
