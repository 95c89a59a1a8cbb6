/** What `@fastify/rate-limit` asks of a store, of the README's store. */
import type { FastifyRateLimitStore } from "@fastify/rate-limit";
import { TurnpikeStore } from "../../src/store.ts";

/** What the plugin hands in, beside what it declares. */
type Child = Parameters<FastifyRateLimitStore["child"]>[0] & {
  routeInfo?: { method: string; url: string };
};
type Answer = Parameters<FastifyRateLimitStore["incr"]>[1];

export function fastifyStore(api: string, token: string, prefix: string) {
  return class Store implements FastifyRateLimitStore {
    incr(key: string, answer: Answer, timeWindow: number): void {
      const store = new TurnpikeStore(api, token, prefix);
      store.init({ windowMs: timeWindow });
      store.increment(key).then(
        ({ totalHits, resetTime }) =>
          answer(null, { current: totalHits, ttl: resetTime.getTime() - Date.now() }),
        (error: Error) => answer(error),
      );
    }

    /** A route's own limit counts apart from the others. */
    child({ routeInfo }: Child): FastifyRateLimitStore {
      const route = `${prefix} ${routeInfo?.method} ${routeInfo?.url}`;
      return new (fastifyStore(api, token, route))();
    }
  };
}
