/**
 * The entry point `turnpike/cache`: values and responses of handlers, kept on the same ring.
 *
 * By itself, so that an app which only limits does not carry them.
 */
import "./workers.ts";

import { env as environment, exports } from "cloudflare:workers";
import type { Context, MiddlewareHandler } from "hono";
import type { HonoBase } from "hono/hono-base";
import { CacheClient } from "./cache/cache-client.ts";
import { ComputedValues, nameOfKey } from "./cache/computed-values.ts";
import { cachedIn, nameOfOwnKey, nameOfUrl } from "./cache/http/cached.ts";
import type { CachedOptions } from "./cache/http/options.ts";
import type { CacheRpc } from "./cache/rpc.ts";
import { isolateCaller, isolateConfig } from "./caller/isolate.ts";
import { MembershipClient } from "./caller/membership-client.ts";
import { RingFollower } from "./caller/ring-follower.ts";
import { isolateRouter } from "./caller/router.ts";
import { tokensIn } from "./config.ts";
import { authorize } from "./http/api/authorization.ts";
import { purgeApi } from "./http/api/purge-api.ts";
import { bindingsOf, extraNamespace } from "./protocol/bindings.ts";
import { stubOf } from "./protocol/rpc.ts";
import { keyHasher } from "./ring/key-hash.ts";
import { nearestRegion, perRegion, type Region } from "./ring/region.ts";
import { steady, WORKERS } from "./runtime.ts";

export type { ComputeOptions } from "./cache/computed-values.ts";
export type { CachedOptions } from "./cache/http/options.ts";
export { Cache } from "./objects/cache.ts";

/** What an isolate has one of; made when something is first looked up. */
let isolate: ReturnType<typeof newIsolate> | undefined;

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

export interface ValueCacheOptions {
  /** Whose owners keep the values: those nearest to the client, say. Default the home region. */
  region?: Region;
}

/**
 * Values that are computed once for all who ask.
 *
 * A purge resolves when the owners of all regions have forgotten; isolates that have a copy may
 * serve it for a second more. It rejects if an owner was not reached within 5 s.
 */
export interface ValueCache extends Pick<ComputedValues, "getOrCompute"> {
  /** Forgets the value under a key, and the responses that `cached()` keeps under it by its `key`. */
  purge(key: string): Promise<void>;
  /** Forgets the responses that `cached()` keeps for a URL, whatever they vary by. */
  purgeUrl(url: string): Promise<void>;
  /** Forgets all values and responses with a tag. */
  purgeTag(tag: string): Promise<void>;
}

/**
 * Returns the cache of this Worker.
 *
 * @param env the Worker's environment, which has the binding `TURNPIKE_CACHE` unless the Worker
 *   exports the class `Cache`
 * @throws {MisuseError} where it is used, if there is neither
 * @example await cache(env).getOrCompute("rates", { ttl: "5s", staleFor: "1m" }, loadRates);
 */
export function cache(env: object = environment, { region }: ValueCacheOptions = {}): ValueCache {
  const own = () => {
    const { home, regionOf } = here(env);
    return regionOf(region ?? home);
  };
  return {
    getOrCompute: async (...call) => own().values.getOrCompute(...call),
    purge: async (key) => {
      const { client } = own();
      const names = [nameOfKey(key), nameOfOwnKey(key)];
      await Promise.all(names.map((name) => client.purgeEverywhere(name)));
    },
    purgeUrl: async (url) => own().client.purgeEverywhere(nameOfUrl(url)),
    purgeTag: async (tag) => own().client.purgeTag(tag),
  };
}

/**
 * Makes the API of this cache: `POST purge` with `{"key": …}`, `{"url": …}` or `{"tag": …}`.
 *
 * The variable `TOKEN` opens it, as it does the gateway's API. Wrong tokens are counted, so the
 * Worker exports `RateLimiter`, too.
 *
 * @throws {MisuseError} naming the variable, the rule and the value
 * @example app.route("/_turnpike/v1/cache", cacheApi());
 */
export function cacheApi(): HonoBase {
  const config = { ...isolateConfig(), tokens: tokensIn(environment) };
  return purgeApi(authorize(isolateCaller(), config), config.tokens.length > 0, cache());
}

function clientFor(c: Context): CacheClient {
  const { home, regionOf } = here(environment);
  const { cf } = c.req.raw as Request<unknown, IncomingRequestCfProperties>;
  return regionOf(nearestRegion(cf, home)).client;
}

function here(env: object) {
  isolate ??= newIsolate(env);
  return isolate;
}

function newIsolate(env: object) {
  const { hashSecret, homeRegion: home, ownersPerRegion, deadlineMs } = isolateConfig();
  const bound = { className: "Cache", entryPoint: "turnpike/cache" };
  const namespace = extraNamespace<CacheRpc>("TURNPIKE_CACHE", bound, env, exports);
  const router = isolateRouter(ownersPerRegion);
  // Not the isolate's client, which requires the owners of counters: a Worker may have a cache alone.
  const { TURNPIKE_MEMBERSHIP: membership } = bindingsOf(env, exports);
  const memberships = membership && new MembershipClient(membership, WORKERS);
  const follower = new RingFollower({ router, memberships, runtime: WORKERS, deadlineMs });
  const hash = keyHasher(hashSecret);
  const routeOf = (key: string, region: Region) => {
    const { owner, version } = router.ownerOf(hash([key]), region);
    return { owner, version, name: `${version} ${key}` };
  };
  const regionOf = perRegion((own) => {
    const client = new CacheClient({
      runtime: steady(WORKERS),
      deadlineMs,
      stubOf: (owner) => stubOf(namespace, owner),
      ready: () => follower.begin(own),
      ringVersion: () => router.versionOf(own),
      routeOf: (key) => routeOf(key, own),
      allRoutesOf: async (key) => (await follower.inUse()).map((region) => routeOf(key, region)),
      allOwners: async () => (await follower.inUse()).flatMap((region) => router.ownersOf(region)),
    });
    return { client, values: new ComputedValues(client) };
  });
  return { home, regionOf };
}
