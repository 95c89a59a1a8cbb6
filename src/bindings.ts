/** The bindings that Turnpike needs of its Worker, whatever else is in its environment. */

import type { Membership } from "./objects/membership.ts";
import type { RateLimiter } from "./objects/rate-limiter.ts";

export interface Bindings {
  TURNPIKE_OWNERS: DurableObjectNamespace<RateLimiter>;
  /** Absent where the rings never change. */
  TURNPIKE_MEMBERSHIP?: DurableObjectNamespace<Membership>;
}
