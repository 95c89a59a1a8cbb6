/**
 * What an import gives outside a Worker, as in Node: the library's names, so that a module which
 * makes its limiters as it is loaded can be loaded. What would count throws, until the test kit is
 * installed. Objects live in a Worker only.
 */
export { limiter } from "./caller/limiter.ts";
export { addressKey } from "./http/key/address-key.ts";
export { rateLimit } from "./http/rate-limit.ts";
export { MisuseError } from "./limit/misuse.ts";

export class RateLimiter {
  constructor() {
    throw new Error(
      "turnpike's objects live in a Cloudflare Worker only: run wrangler dev, or in a test installTestKit() of turnpike/testing",
    );
  }
}

export class Membership extends RateLimiter {}

export class Turnpike extends RateLimiter {}
