/** One GET or HEAD request on its way through the cache: what is looked for, served and stored. */
import type { Context, Next } from "hono";
import { WORKERS } from "../../runtime.ts";
import type { CacheStore } from "../value.ts";
import { type Directives, parseCacheControl } from "./cache-control.ts";
import type { CacheStatus } from "./cache-status.ts";
import { type Answer, Exchange, type ExchangeOptions } from "./exchange.ts";
import { laterHandlers, runHandlers } from "./handlers.ts";
import type { Aged } from "./kept-response.ts";
import type { CacheOptions } from "./options.ts";
import { agedOf, type Entry, find, lookUp, type Place } from "./places.ts";
import { sendOwn, sendPassing, sendStored, tell } from "./respond.ts";
import { ttlOf, useOf } from "./usable.ts";

export class Visit {
  readonly #c: Context;
  readonly #next: Next;
  readonly #store: CacheStore;
  readonly #options: CacheOptions;
  /** Keys for which this isolate has another response made. */
  readonly #refreshing: Set<string>;
  /** As the client sent them: while the handler runs, the context has others. */
  readonly #request: Headers;
  readonly #asked: Directives;
  readonly #prepared: Headers;
  readonly #exchange: Exchange;
  /** Aborted when the client leaves, unless others may wait for the same answer. */
  readonly #left = new AbortController();

  constructor(
    c: Context,
    next: Next,
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
    const { signal } = this.#left;
    this.#exchange = this.#newExchange(
      (headers) => runHandlers(c, next, headers, signal),
      this.#prepared,
    );
  }

  /** Answers the request, from the store under this key or by the handler. */
  async serve(key: string): Promise<void> {
    const start: Place = { key, names: [] };
    const leads = this.#mayLead();
    const entry = leads
      ? await this.#orOwn(lookUp(this.#store, start, this.#request, this.#exchange))
      : await find(this.#store, start, this.#request).catch(() => undefined);
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
    if (!newer || !newerAged) return this.#alone(entry.place, told, newer ?? entry);
    if (newerAged.response.life.isValidatedAlways) return this.#alone(newer.place, told, newer);
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
    // Without the store each request is answered by the handler.
    const found = looking.catch(() => undefined);
    // What others wait for goes on without this client.
    WORKERS.keepAlive(found);
    const first = await Promise.race([this.#exchange.answered, found]);
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
    // What the handler has confirmed is in the store already.
    if (answer.kind === "storable") {
      const storing = lookUp(this.#store, place, this.#request, this.#exchange, known);
      WORKERS.keepAlive(storing.catch(() => {}));
    }
    return this.#sendOwn(told);
  }

  async #sendOwn(told: CacheStatus): Promise<void> {
    const answer: Answer = await this.#exchange.answered;
    if (answer.kind === "passing") {
      const { signal } = this.#c.req.raw;
      const leave = () => this.#left.abort(signal.reason);
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave);
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

  #newExchange(run: ExchangeOptions["run"], prepared: Headers): Exchange {
    return new Exchange({
      run,
      request: this.#request,
      prepared,
      defaults: this.#options,
      tagsOf: (response) => this.#options.tags(this.#c, response),
    });
  }

  /** Has the handler make another response, while this one is served. */
  #refreshLater(entry: Entry): void {
    const { key } = entry.place;
    if (this.#refreshing.has(key)) return;
    this.#refreshing.add(key);
    const exchange = this.#newExchange(laterHandlers(this.#c), new Headers());
    const refreshing = lookUp(this.#store, entry.place, this.#request, exchange, entry);
    const end = () => this.#refreshing.delete(key);
    WORKERS.keepAlive(refreshing.then(end, end));
  }
}

function directivesOf(request: Headers): Directives {
  // Section 5.4: where there is no `Cache-Control`.
  const field = request.get("Cache-Control") ?? request.get("Pragma");
  return parseCacheControl(field);
}
