/** The bindings that Turnpike needs of its Worker, whatever else is in its environment. */
import type { RateLimiter } from "./owner/rate-limiter.ts";
import type { Membership } from "./ring/membership.ts";

export interface Bindings {
  TURNPIKE_OWNERS: DurableObjectNamespace<RateLimiter>;
  /** Absent where the rings never change. */
  TURNPIKE_MEMBERSHIP?: DurableObjectNamespace<Membership>;
}
