/**
 * What an import gives outside a Worker, as in Node: the library's names, so that a module which
 * makes its limiters as it is loaded can be loaded. Only what would count throws.
 */
import type * as library from "./index.ts";

export { MisuseError } from "./limit/misuse.ts";

function refuse(): never {
  throw new Error(
    "turnpike counts in a Cloudflare Worker only: run the app by wrangler dev, and its tests by @cloudflare/vitest-plugin",
  );
}

const refuseLater = async (): Promise<never> => refuse();

export const rateLimit: typeof library.rateLimit = () => refuseLater;

export const limiter: typeof library.limiter = () => ({
  check: refuseLater,
  peek: refuseLater,
  refund: refuseLater,
  reset: refuseLater,
  reserve: refuseLater,
  release: refuseLater,
  settle: refuseLater,
  block: refuseLater,
  unblock: refuseLater,
  explain: refuseLater,
});

export const addressKey: typeof library.addressKey = refuse;

export class RateLimiter {
  constructor() {
    refuse();
  }
}

export class Membership extends RateLimiter {}

export class Turnpike extends RateLimiter {}
