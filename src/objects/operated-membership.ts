/** The Durable Object of a region's ring that an operator may change, as the deployed Worker has it. */
import { OperatedRingKeeper } from "../membership/operated-ring-keeper.ts";
import type { MembershipRpc } from "../protocol/rpc.ts";
import { Membership } from "./membership.ts";

export class OperatedMembership extends Membership implements MembershipRpc {
  readonly #keeper: OperatedRingKeeper;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    let made!: OperatedRingKeeper;
    super(ctx, env, (options) => {
      made = new OperatedRingKeeper(options);
      return made;
    });
    this.#keeper = made;
  }

  /** Returns the ring's status; null if no owner has asked for the ring yet, unless it is wanted. */
  async status(isWanted: boolean) {
    return isWanted || this.#keeper.isUsed ? this.#keeper.status() : null;
  }

  add(name?: string) {
    return this.#keeper.add(name);
  }

  remove(name: string) {
    return this.#keeper.remove(name);
  }
}
