/** The library's public names. */
import "./workers.ts";

export type { LimitOptions, LimitOutcome } from "./binding/limit.ts";
export {
  type KeyCheck,
  type KeyOptions,
  Turnpike,
  type TurnpikeProps,
} from "./binding/turnpike.ts";
export type { SettledDecision } from "./caller/holds.ts";
export {
  type CheckOptions,
  type Limiter,
  type LimiterOptions,
  limiter,
  type Reserved,
  type ReserveOptions,
} from "./caller/limiter.ts";
export { addressKey } from "./http/key/address-key.ts";
export { type RateLimitEnv, rateLimit } from "./http/rate-limit.ts";
export type { RateLimitOptions } from "./http/rules.ts";
export type { Decision } from "./limit/decision.ts";
export { MisuseError } from "./limit/misuse.ts";
export { Membership } from "./objects/membership.ts";
export { RateLimiter } from "./objects/rate-limiter.ts";
