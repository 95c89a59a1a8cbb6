/**
 * The entry point `turnpike/cache`: responses of handlers, kept on the same ring.
 *
 * By itself, so that an app which only limits does not carry them.
 */
import "./workers.ts";

import { env, exports } from "cloudflare:workers";
import type { Context, MiddlewareHandler } from "hono";
import { CacheClient } from "./cache/cache-client.ts";
import { cachedIn, keyOfUrl } from "./cache/http/cached.ts";
import type { CachedOptions } from "./cache/http/options.ts";
import { cacheNamespace } from "./cache/namespace.ts";
import { isolateRouter } from "./caller/router.ts";
import { parseLimiterConfig } from "./limiter-config.ts";
import { stubOf } from "./protocol/rpc.ts";
import { keyHasher } from "./ring/key-hash.ts";
import { nearestRegion, REGIONS, type Region } from "./ring/region.ts";
import { WORKERS } from "./runtime.ts";

export type { CachedOptions } from "./cache/http/options.ts";
export { Cache } from "./objects/cache.ts";

/** What an isolate has one of; made when something is first looked up. */
interface Isolate {
  home: Region;
  clientOf(region: Region): CacheClient;
}

let isolate: Isolate | undefined;

/**
 * Makes a middleware that keeps responses of the handlers behind it, by RFC 9111 as a shared cache.
 *
 * The Worker exports `Cache`, or binds it as `TURNPIKE_CACHE`. Each region has values of its own.
 *
 * @throws {MisuseError} naming the option, the rule and the value
 * @example app.get("/search", rateLimit({ limit: 100, window: "1m" }), cached({ ttl: "5s" }), search);
 */
export function cached(options: CachedOptions = {}): MiddlewareHandler {
  return cachedIn(clientFor, options);
}

/** Forgets the response of a URL, and all that it varies by: in other isolates within a second. */
export async function purge(url: string): Promise<void> {
  const { home, clientOf } = here();
  await clientOf(home).purge(keyOfUrl(url));
}

/** Forgets all responses with a tag, in all regions: in other isolates within a second. */
export async function purgeTag(tag: string): Promise<void> {
  const { home, clientOf } = here();
  await clientOf(home).purgeTag(tag);
}

function clientFor(c: Context): CacheClient {
  const { home, clientOf } = here();
  const { cf } = c.req.raw as Request<unknown, IncomingRequestCfProperties>;
  return clientOf(nearestRegion(cf, home));
}

function here(): Isolate {
  isolate ??= newIsolate();
  return isolate;
}

function newIsolate(): Isolate {
  const { hashSecret, homeRegion, ownersPerRegion, deadlineMs } = parseLimiterConfig(env);
  const namespace = cacheNamespace(env, exports);
  const router = isolateRouter(ownersPerRegion);
  const hash = keyHasher(hashSecret);
  const clients = new Map<Region, CacheClient>();
  const ownerOf = (key: string, region: Region) =>
    stubOf(namespace, router.ownerOf(hash([key]), region).owner);
  const newClient = (own: Region) =>
    new CacheClient({
      runtime: WORKERS,
      deadlineMs,
      ownerOf: (key) => ownerOf(key, own),
      ownersOf: (key) =>
        key === undefined
          ? REGIONS.flatMap((region) => router.ownersOf(region)).map((name) =>
              stubOf(namespace, name),
            )
          : REGIONS.filter((region) => region !== own).map((region) => ownerOf(key, region)),
    });
  return {
    home: homeRegion,
    clientOf: (region) => {
      const client = clients.get(region) ?? newClient(region);
      clients.set(region, client);
      return client;
    },
  };
}
