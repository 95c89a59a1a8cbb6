/**
 * The Durable Object of a region's ring and of the live policies. An operator may change both. Only
 * the deployed Worker has it.
 */
import { exports } from "cloudflare:workers";
import { parseLimiterConfig } from "../limiter-config.ts";
import { OperatedRingKeeper } from "../membership/operated-ring-keeper.ts";
import { bindingsOf } from "../protocol/bindings.ts";
import type { PoliciesChange, PoliciesDocument } from "../protocol/policies-document.ts";
import { type MembershipRpc, type ObjectNamespace, stubOf } from "../protocol/rpc.ts";
import { Membership } from "./membership.ts";

export class OperatedMembership extends Membership implements MembershipRpc {
  readonly #keeper: OperatedRingKeeper;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    let made!: OperatedRingKeeper;
    const namespace = bindingsOf(env, exports)
      .TURNPIKE_MEMBERSHIP as ObjectNamespace<MembershipRpc>;
    super(ctx, env, (options) => {
      made = new OperatedRingKeeper({
        ...options,
        storage: ctx.storage,
        homeRegion: parseLimiterConfig(env).homeRegion,
        membershipStub: (region) => stubOf(namespace, region),
      });
      return made;
    });
    this.#keeper = made;
  }

  /** Returns the ring's status; null if nobody has asked for the ring yet, unless it is wanted. */
  async status(isWanted: boolean) {
    return isWanted || this.#keeper.isUsed ? this.#keeper.status() : null;
  }

  add(name?: string) {
    return this.#keeper.add(name);
  }

  remove(name: string) {
    return this.#keeper.remove(name);
  }

  policies(known: number, told?: number) {
    return this.#keeper.policies.later(known, told);
  }

  changePolicies(change: PoliciesChange) {
    return this.#keeper.policies.change(change);
  }

  policiesHistory() {
    return this.#keeper.policies.history();
  }

  adoptPolicies(document: PoliciesDocument) {
    return this.#keeper.policies.adopt(document);
  }
}
