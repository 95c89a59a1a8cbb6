/** The bindings that Turnpike needs of its Worker, whatever else is in its environment. */
import type { RateLimiter } from "./owner/rate-limiter.ts";
import type { Membership } from "./ring/membership.ts";

export interface Bindings {
  RATE_LIMITER: DurableObjectNamespace<RateLimiter>;
  /** Absent where the rings never change. */
  MEMBERSHIP?: DurableObjectNamespace<Membership>;
}
