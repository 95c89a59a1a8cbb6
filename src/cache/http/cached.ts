/**
 * A shared cache in front of handlers, by RFC 9111: what a response says of its freshness counts.
 *
 * A client cannot ask past what is fresh, unless the options allow it: the cache is there to keep an
 * expensive handler from running. Ranges, and what may change something, go to the handler.
 */
import type { Context, MiddlewareHandler } from "hono";
import { MisuseError } from "../../limit/misuse.ts";
import { parseUrl } from "../../limit/url.ts";
import { Refreshes } from "../refreshes.ts";
import type { CacheStore } from "../value.ts";
import { serveCopy } from "./copy.ts";
import { type CachedOptions, type CacheOptions, parseOptions } from "./options.ts";
import { tell } from "./respond.ts";
import { Visit } from "./visit.ts";

/** Methods that change nothing (RFC 9110, section 9.2.1). Of any other, nobody knows. */
const SAFE = ["GET", "HEAD", "OPTIONS", "TRACE"];
/** What asks for a part, for a condition that only the handler can check, or for another protocol. */
const PASSING_FIELDS = ["range", "if-range", "if-match", "if-unmodified-since", "upgrade"];
const MAX_KNOWN_URLS = 1_000;
const MAX_KNOWN_CHARS = 500;
/** Keys of this version: what it stores, another might not read. */
const KEY_PREFIX = "http-1";

/**
 * Makes the middleware upon a store.
 *
 * @param storeFor the store for a request
 * @throws {MisuseError} naming the option, the rule and the value
 */
export function cachedIn(
  storeFor: (c: Context) => CacheStore,
  options: CachedOptions = {},
): MiddlewareHandler {
  const parsed = parseOptions(options);
  const refreshes = new Refreshes();
  return async function cached(c, next) {
    const { method } = c.req;
    const { headers } = c.req.raw;
    if (method !== "GET" && method !== "HEAD") {
      await next();
      if (!SAFE.includes(method) && c.res.status >= 200 && c.res.status < 400) {
        const store = storeFor(c);
        const purged = changedNames(c, parsed).map((name) => store.purge(name));
        // What the request has changed stays changed, whether or not the store can be reached.
        await Promise.allSettled(purged);
      }
      return tell(c, { forward: "method" });
    }
    if (PASSING_FIELDS.some((name) => headers.has(name))) {
      await next();
      return tell(c, { forward: "bypass" });
    }
    const store = storeFor(c);
    const name = nameOf(c, parsed);
    const copy = method === "GET" && !parsed.clientMayRefresh ? store.copyOf(name) : undefined;
    if (copy && serveCopy(c, headers, copy)) return;
    const visit = new Visit(c, next, store, parsed, refreshes);
    await visit.serve(name);
  };
}

/** Returns the name of a URL's responses, unless the options have a key of their own. */
export function nameOfUrl(url: string): string {
  const parsed = parseUrl(url);
  if (!parsed) throw new MisuseError("url", "must be a whole URL", url);
  return `${KEY_PREFIX} ${parsed.href.replace(/#.*/s, "")}`;
}

/** Returns the name of the responses under a key of the options. */
export function nameOfOwnKey(key: string): string {
  return `${KEY_PREFIX} key ${key}`;
}

/** To read a URL takes as long as all else that a hit needs. */
const nameByUrl = new Map<string, string>();

function nameOf(c: Context, { key }: CacheOptions): string {
  if (key) return nameOfOwnKey(key(c));
  const { url } = c.req;
  const known = nameByUrl.get(url);
  if (known) return known;
  const name = nameOfUrl(url);
  if (url.length <= MAX_KNOWN_CHARS) {
    if (nameByUrl.size >= MAX_KNOWN_URLS) nameByUrl.clear();
    nameByUrl.set(url, name);
  }
  return name;
}

/** Returns the names whose responses a successful unsafe request makes invalid (section 4.4). */
function changedNames(c: Context, options: CacheOptions): string[] {
  const own = nameOf(c, options);
  if (options.key) return [own];
  const { origin } = new URL(c.req.url);
  const named = ["Location", "Content-Location"].flatMap((name) => {
    const target = c.res.headers.get(name);
    const url = target === null ? null : parseUrl(target, c.req.url);
    return url?.origin === origin ? [nameOfUrl(url.href)] : [];
  });
  return [own, ...named];
}
