/** The Durable Object of an owner that tells its callers of live policies, as the deployed Worker has it. */
import { OperatedRingOwner } from "../owner/change/operated-ring-owner.ts";
import { RateLimiter } from "./rate-limiter.ts";

export class OperatedRateLimiter extends RateLimiter {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, (options) => new OperatedRingOwner(options));
  }
}
