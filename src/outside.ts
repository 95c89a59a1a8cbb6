/**
 * What an import gives outside a Worker, as in Node: the library's names, so that a module which
 * makes its limiters as it is loaded can be loaded. What would count throws, until the test kit is
 * installed. Objects live in a Worker only.
 */
import { rateLimit as middleware } from "./http/rate-limit.ts";
import { ObjectOutside } from "./protocol/outside.ts";

export { limiter } from "./caller/limiter.ts";
export { addressKey } from "./http/key/address-key.ts";
export { MisuseError } from "./limit/misuse.ts";

/** Also tells an Express app that it has another library's `rateLimit`. */
export const rateLimit: typeof middleware = (...policies) => {
  const limit = middleware(...policies);
  return async function rateLimit(c, next) {
    if (c.req) return limit(c, next);
    throw new TypeError(
      "turnpike's rateLimit is a middleware for Hono. An Express app runs behind the gate, or counts with TurnpikeStore of turnpike/store",
    );
  };
};

export class RateLimiter extends ObjectOutside {}

export class Membership extends ObjectOutside {}

export class Turnpike extends ObjectOutside {}
