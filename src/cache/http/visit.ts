/** One GET or HEAD request on its way through the cache: looks up, serves and stores. */
import type { Context, Next } from "hono";
import { WORKERS } from "../../runtime.ts";
import type { Refreshes } from "../refreshes.ts";
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
  readonly #refreshes: Refreshes;
  /** The headers that the client sent. While the handler runs, the context has others. */
  readonly #request: Headers;
  readonly #directives: Directives;
  readonly #prepared: Headers;
  readonly #exchange: Exchange;
  /** Aborted when the client leaves, unless others may wait for the same answer. */
  readonly #left = new AbortController();

  constructor(
    c: Context,
    next: Next,
    store: CacheStore,
    options: CacheOptions,
    refreshes: Refreshes,
  ) {
    this.#c = c;
    this.#next = next;
    this.#store = store;
    this.#options = options;
    this.#refreshes = refreshes;
    this.#request = c.req.raw.headers;
    this.#directives = directivesOf(this.#request);
    // A copy: reading `c.res` would change the handler's answer.
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
    const entry = this.#mayLead()
      ? await this.#lookUp(start)
      : await find(this.#store, start, this.#request).catch(() => undefined);
    if (this.#exchange.isAsked) return this.#sendOwn({ forward: "miss" });
    const aged = entry && agedOf(entry);
    if (!entry || !aged) return this.#forward(entry?.place ?? start, { forward: "miss" }, entry);

    const { life } = aged.response;
    const { clientMayRefresh } = this.#options;
    const use = useOf(life, aged.residentMs, this.#directives, clientMayRefresh);
    if (use === "stale") this.#refreshLater(entry);
    if (use === "fresh" || use === "stale") {
      const isCollapsed = entry.found.source === "computed";
      return this.#sendStored(
        aged,
        isCollapsed ? { forward: "miss", collapsed: true } : { hit: true },
      );
    }
    const isFresh = ttlOf(life, aged.residentMs) > 0;
    const told: CacheStatus = { forward: isFresh && use === "old" ? "request" : "stale" };
    if (use === "old" && this.#mayLead()) return this.#renew(entry, told);
    return this.#forward(entry.place, told, entry);
  }

  /** Answers with a newer response, which another request may be making. */
  async #renew(entry: Entry, told: CacheStatus): Promise<void> {
    const newer = await this.#lookUp(entry.place, entry);
    if (this.#exchange.isAsked) return this.#sendOwn(told);
    const aged = newer && agedOf(newer);
    if (aged && !aged.response.life.isValidatedAlways) {
      return this.#sendStored(aged, { ...told, collapsed: true });
    }
    const latest = newer ?? entry;
    return this.#forward(latest.place, told, latest);
  }

  /** Returns true if other requests may wait for the answer to this one. */
  #mayLead(): boolean {
    return (
      this.#c.req.method === "GET" &&
      !this.#request.has("Authorization") &&
      !this.#directives.has("no-store") &&
      !this.#directives.has("only-if-cached")
    );
  }

  /**
   * Returns what is stored, or what another request has just made. If this request asks the
   * handler, returns undefined as soon as the handler has answered: see `isAsked` of the exchange.
   */
  async #lookUp(place: Place, known?: Entry): Promise<Entry | undefined> {
    // If the store fails, the handler answers each request.
    const found = lookUp(this.#store, place, this.#request, this.#exchange, known).catch(
      () => undefined,
    );
    // Others may wait for the result, so the look-up goes on when this client leaves.
    WORKERS.keepAlive(found);
    await Promise.race([this.#exchange.answered, found]);
    return this.#exchange.isAsked ? undefined : found;
  }

  /** Makes the handler answer this request alone, and stores what may be stored. */
  async #forward(place: Place, told: CacheStatus, known?: Entry): Promise<void> {
    if (this.#directives.has("only-if-cached")) {
      // Section 5.2.1.7.
      this.#c.res = new Response(null, { status: 504 });
      return tell(this.#c, { detail: "only-if-cached" });
    }
    if (this.#c.req.method !== "GET" || this.#directives.has("no-store")) {
      await this.#next();
      return tell(this.#c, told);
    }
    const answer = await this.#exchange.ask(known && agedOf(known));
    // A response that the handler has confirmed is in the store already.
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

  /** Makes the handler answer again in the background, while the stale response is served. */
  #refreshLater(entry: Entry): void {
    const { place } = entry;
    this.#refreshes.begin(place.key, () => {
      const exchange = this.#newExchange(laterHandlers(this.#c), new Headers());
      return lookUp(this.#store, place, this.#request, exchange, entry);
    });
  }
}

function directivesOf(request: Headers): Directives {
  // `Pragma` counts only without `Cache-Control` (section 5.4).
  const field = request.get("Cache-Control") ?? request.get("Pragma");
  return parseCacheControl(field);
}
