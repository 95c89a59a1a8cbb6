/**
 * A shared cache in front of handlers, by RFC 9111: a response's own fields say how long it is
 * fresh.
 *
 * A client cannot refuse a fresh response, unless the options allow it: the cache is there to keep
 * an expensive handler from running. Requests for ranges, and those that may change something, go
 * to the handler.
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

/** Methods that change nothing (RFC 9110, section 9.2.1). Any other method may. */
const SAFE = ["GET", "HEAD", "OPTIONS", "TRACE"];
/** Fields that ask for a part, for a check that only the handler can make, or another protocol. */
const PASSING_FIELDS = ["range", "if-range", "if-match", "if-unmodified-since", "upgrade"];
const MAX_KNOWN_URLS = 1_000;
const MAX_KNOWN_CHARS = 500;
/** The variable of a request that has the name which a `cached()` looks up. */
const VISITED = "turnpike-cached";
/** Prefix of this version's keys. Another version might not read what this one stores. */
const KEY_PREFIX = "http-1";

/**
 * Makes the middleware.
 *
 * @param storeFor returns the store for a request
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
        // The request's changes are made, whether or not the store can be reached.
        await Promise.allSettled(purged);
      }
      return tell(c, { forward: "method" });
    }
    if (PASSING_FIELDS.some((name) => headers.has(name)) || hasContent(c.req.raw)) {
      await next();
      return tell(c, { forward: "bypass" });
    }
    const store = storeFor(c);
    const name = nameOf(c, parsed);
    // A `cached()` in front has the lease for this name, and waits for the handler.
    if (c.get(VISITED) === name) return next();
    const copy = method === "GET" && !parsed.clientMayRefresh ? store.copyOf(name) : undefined;
    if (copy && serveCopy(c, headers, copy)) return;
    c.set(VISITED, name);
    const visit = new Visit(c, next, store, parsed, refreshes);
    await visit.serve(name);
  };
}

/** A handler may go by the content of a request, which no key includes. */
function hasContent({ body, headers }: Request): boolean {
  return body !== null && headers.get("Content-Length") !== "0";
}

/** Returns the name of a URL's responses, for options without a `key`. */
export function nameOfUrl(url: string): string {
  const parsed = parseUrl(url);
  if (!parsed) throw new MisuseError("url", "must be a whole URL", url);
  return `${KEY_PREFIX} ${parsed.href.replace(/#.*/s, "")}`;
}

/**
 * Returns the name of the responses under a key that the options' `key` returned.
 *
 * @throws {MisuseError} if it is no text: `undefined` or a promise would be one key for all requests
 */
export function nameOfOwnKey(key: string): string {
  if (typeof key !== "string") throw new MisuseError("key", "must be text", key);
  return `${KEY_PREFIX} key ${key}`;
}

/** The names of URLs, since parsing a URL takes as long as everything else that a hit needs. */
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
