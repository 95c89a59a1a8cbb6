/**
 * The Durable Object of an owner that tells its callers of live policies. Only the deployed Worker
 * has it.
 */
import { OperatedRingOwner } from "../owner/change/operated-ring-owner.ts";
import { meteredStorage, type OnWritten } from "../owner/metered-storage.ts";
import { RateLimiter } from "./rate-limiter.ts";

export class OperatedRateLimiter extends RateLimiter {
  /** Called with what an owner wrote to its disk; set if the limiter watches itself. */
  static onWritten: ((owner: string, ...what: Parameters<OnWritten>) => void) | undefined;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env, (options) => {
      const { onWritten } = OperatedRateLimiter;
      if (!onWritten) return new OperatedRingOwner(options);
      const { name, runtime, storage } = options;
      const report: OnWritten = (...what) => onWritten(name, ...what);
      const metered = meteredStorage(storage, () => runtime.now(), report);
      return new OperatedRingOwner({ ...options, storage: metered });
    });
  }
}
