/** The library's public names. */
export { type CheckOptions, type Limiter, type LimiterOptions, limiter } from "./caller/limiter.ts";
export {
  type KeyFunction,
  type RateLimitEnv,
  type RateLimitOptions,
  rateLimit,
} from "./http/rate-limit.ts";
export type { Decision } from "./limit/decision.ts";
export { MisuseError } from "./limit/misuse.ts";
export { RateLimiter } from "./owner/rate-limiter.ts";
