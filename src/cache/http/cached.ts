/**
 * A shared cache in front of handlers, by RFC 9111: what a response says of its freshness counts.
 *
 * A client cannot ask past what is fresh, unless the options allow it: the cache is there to keep an
 * expensive handler from running. Ranges, and what may change something, go to the handler.
 */
import type { Context, MiddlewareHandler } from "hono";
import { parseUrl } from "../../limit/url.ts";
import { WORKERS } from "../../runtime.ts";
import { type Directives, parseCacheControl } from "./cache-control.ts";
import type { CacheStatus } from "./cache-status.ts";
import { type Aged, type Answer, Exchange } from "./exchange.ts";
import { laterHandlers, runHandlers } from "./handlers.ts";
import { type CachedOptions, type CacheOptions, parseOptions } from "./options.ts";
import { agedOf, type Entry, find, lookUp, type Place } from "./places.ts";
import { sendOwn, sendPassing, sendStored, tell } from "./respond.ts";
import type { CacheStore } from "./store.ts";
import { ttlOf, useOf } from "./usable.ts";

/** Methods that change nothing (RFC 9110, section 9.2.1). Of any other, nobody knows. */
const SAFE = ["GET", "HEAD", "OPTIONS", "TRACE"];
/** What asks for a part, for a condition that only the handler can check, or for another protocol. */
const PASSING_FIELDS = ["Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade"];
/** Keys of this version: what it stores, another might not read. */
const KEY_PREFIX = "http-1";

/** Makes the middleware upon a store. */
export function cachedIn(store: () => CacheStore, options: CachedOptions = {}): MiddlewareHandler {
  const parsed = parseOptions(options);
  const refreshing = new Set<string>();
  return async function cached(c, next) {
    const { method } = c.req;
    const { headers } = c.req.raw;
    if (method !== "GET" && method !== "HEAD") {
      await next();
      if (!SAFE.includes(method) && c.res.status >= 200 && c.res.status < 400) {
        await Promise.all(changedKeys(c, parsed).map((key) => store().purge(key)));
      }
      return tell(c, { forward: "method" });
    }
    if (PASSING_FIELDS.some((name) => headers.has(name))) {
      await next();
      return tell(c, { forward: "bypass" });
    }
    await new Visit(c, next, store(), parsed, refreshing).serve();
  };
}

/** One request on its way through the cache. */
class Visit {
  readonly #c: Context;
  readonly #next: () => Promise<void>;
  readonly #store: CacheStore;
  readonly #options: CacheOptions;
  /** Keys for which this isolate has another response made. */
  readonly #refreshing: Set<string>;
  /** As the client sent them: while the handler runs, the context has others. */
  readonly #request: Headers;
  readonly #asked: Directives;
  readonly #prepared: Headers;
  readonly #exchange: Exchange;

  constructor(
    c: Context,
    next: () => Promise<void>,
    store: CacheStore,
    options: CacheOptions,
    refreshing: Set<string>,
  ) {
    this.#c = c;
    this.#next = next;
    this.#store = store;
    this.#options = options;
    this.#refreshing = refreshing;
    this.#request = c.req.raw.headers;
    this.#asked = directivesOf(this.#request);
    // A copy: to read `c.res` would make the handler's answer another.
    this.#prepared = c.newResponse(null).headers;
    this.#exchange = new Exchange({
      run: (headers) => runHandlers(c, next, headers),
      request: this.#request,
      prepared: this.#prepared,
      defaults: options,
      tagsOf: () => options.tags(c),
    });
  }

  async serve(): Promise<void> {
    const start: Place = { key: keyOf(this.#c, this.#options), names: [] };
    const leads = this.#mayLead();
    const entry = leads
      ? await this.#orOwn(lookUp(this.#store, start, this.#request, this.#exchange))
      : await find(this.#store, start, this.#request);
    if (entry === "own") return this.#sendOwn({ forward: "miss" });
    const miss: CacheStatus = { forward: "miss" };
    if (!entry) return leads ? this.#alone(start, miss) : this.#missing(start, miss);
    const aged = agedOf(entry);
    if (!aged)
      return leads ? this.#alone(entry.place, miss, entry) : this.#missing(start, miss, entry);

    const { life } = aged.response;
    const ttlMs = ttlOf(life, aged.residentMs);
    const use = useOf(life, aged.residentMs, this.#asked, this.#options.clientMayRefresh);
    if (use === "fresh" || use === "stale") {
      if (use === "stale") this.#refreshLater(entry);
      const isCollapsed = entry.found.source === "computed";
      const told: CacheStatus = isCollapsed ? { ...miss, collapsed: true } : { hit: true };
      return this.#sendStored(aged, told);
    }
    const told: CacheStatus = { forward: ttlMs > 0 && use === "old" ? "request" : "stale" };
    if (!leads) return this.#missing(entry.place, told, entry);
    if (use === "validate") return this.#alone(entry.place, told, entry);
    const newer = await this.#orOwn(
      lookUp(this.#store, entry.place, this.#request, this.#exchange, entry),
    );
    if (newer === "own") return this.#sendOwn(told);
    const newerAged = newer && agedOf(newer);
    if (!newerAged) return this.#alone(entry.place, told, newer ?? entry);
    this.#sendStored(newerAged, { ...told, collapsed: true });
  }

  /** May the answer to this request be the one that all others wait for? */
  #mayLead(): boolean {
    return (
      this.#c.req.method === "GET" &&
      !this.#request.has("Authorization") &&
      !this.#asked.has("no-store") &&
      !this.#asked.has("only-if-cached")
    );
  }

  /** Waits for the store, or for the handler if it is this request that asks it. */
  async #orOwn(looking: Promise<Entry | undefined>): Promise<Entry | undefined | "own"> {
    // What others wait for goes on without this client.
    WORKERS.keepAlive(looking.catch(() => {}));
    const first = await Promise.race([this.#exchange.answered, looking]);
    return this.#exchange.isAsked ? "own" : (first as Entry | undefined);
  }

  /** Answers where nothing is stored, and this request may not lead. */
  async #missing(place: Place, told: CacheStatus, known?: Entry): Promise<void> {
    if (this.#asked.has("only-if-cached")) {
      // Section 5.2.1.7.
      this.#c.res = new Response(null, { status: 504 });
      return tell(this.#c, { detail: "only-if-cached" });
    }
    if (this.#c.req.method === "GET" && !this.#asked.has("no-store")) {
      return this.#alone(place, told, known);
    }
    await this.#next();
    tell(this.#c, told);
  }

  /** Asks the handler without anybody waiting, and stores what may be stored. */
  async #alone(place: Place, told: CacheStatus, known?: Entry): Promise<void> {
    const answer = await this.#exchange.ask(known && agedOf(known));
    if (answer.kind !== "passing") {
      const storing = lookUp(this.#store, place, this.#request, this.#exchange, known);
      WORKERS.keepAlive(storing.catch(() => {}));
    }
    return this.#sendOwn(told);
  }

  async #sendOwn(told: CacheStatus): Promise<void> {
    const answer: Answer = await this.#exchange.answered;
    if (answer.kind === "passing") {
      return sendPassing(this.#c, this.#request, { ...told, detail: answer.reason });
    }
    if (answer.kind === "known") {
      return this.#sendStored(answer.aged, { ...told, forwardStatus: answer.forwardStatus });
    }
    return sendOwn(this.#c, this.#request, answer, { ...told, stored: true });
  }

  #sendStored(aged: Aged, told: CacheStatus): void {
    const ttlMs = ttlOf(aged.response.life, aged.residentMs);
    sendStored(this.#c, this.#request, this.#prepared, aged, { ...told, ttlMs });
  }

  /** Has the handler make another response, while this one is served. */
  #refreshLater(entry: Entry): void {
    const { key } = entry.place;
    if (this.#refreshing.has(key)) return;
    this.#refreshing.add(key);
    const exchange = new Exchange({
      run: laterHandlers(this.#c),
      request: this.#request,
      prepared: new Headers(),
      defaults: this.#options,
      tagsOf: () => this.#options.tags(this.#c),
    });
    const refreshing = lookUp(this.#store, entry.place, this.#request, exchange, entry);
    WORKERS.keepAlive(
      refreshing.then(
        () => this.#refreshing.delete(key),
        () => this.#refreshing.delete(key),
      ),
    );
  }
}

function keyOf(c: Context, { key }: CacheOptions): string {
  return `${KEY_PREFIX} ${key ? key(c) : c.req.url.replace(/#.*/s, "")}`;
}

/** Returns the keys whose responses a successful unsafe request makes invalid (section 4.4). */
function changedKeys(c: Context, options: CacheOptions): string[] {
  const own = keyOf(c, options);
  if (options.key) return [own];
  const { origin } = new URL(c.req.url);
  const named = ["Location", "Content-Location"].flatMap((name) => {
    const target = c.res.headers.get(name);
    const url = target === null ? null : parseUrl(target, c.req.url);
    return url?.origin === origin ? [url.href.replace(/#.*/s, "")] : [];
  });
  return [own, ...named.map((url) => `${KEY_PREFIX} ${url}`)];
}

function directivesOf(request: Headers): Directives {
  // Section 5.4: where there is no `Cache-Control`.
  const field = request.get("Cache-Control") ?? request.get("Pragma");
  return parseCacheControl(field);
}
