/**
 * One request's way to the handler and back. The store and the client may both ask for the answer;
 * the handler runs once.
 *
 * A handler is asked without the client's conditions, so that it makes a whole response. To confirm
 * a stored response, it gets conditions about that one, and may answer 304.
 */
import { WORKERS } from "../../runtime.ts";
import { type Computed, MAX_VALUE_BYTES } from "../value.ts";
import { Body } from "./body.ts";
import { unconditional, updated } from "./conditional.ts";
import { type Aged, aged, decoded, isGzip, keptMs, newResponse } from "./kept-response.ts";
import { type Defaults, type Reason, storable } from "./storable.ts";
import { encode, type Stored, type StoredResponse } from "./stored.ts";
import { isUsableOnError } from "./usable.ts";
import { newNames } from "./vary.ts";

/** The handler's answer. */
export type Answer =
  /** A response that may be stored, whole or still on its way. */
  | {
      kind: "storable";
      status: number;
      headers: Headers;
      body: Body | null;
      toStore: ToStore;
      atMs: number;
      tags: string[];
    }
  /** A response that may not be stored: it passes as the handler made it. */
  | { kind: "passing"; response: Response; reason: Reason }
  /** The stored response, confirmed by a 304, or in place of an error. */
  | {
      kind: "known";
      aged: Aged;
      forwardStatus: number;
      toStore: ToStore;
      atMs: number;
      tags: string[];
    };

/** The response as it was `atMs`. Undefined if there is nothing to store after all. */
type ToStore = Promise<StoredResponse | undefined>;

export interface ExchangeOptions {
  /** Runs the handler with these headers. `hasFailed` if it threw. */
  run(headers: Headers): Promise<{ response: Response; hasFailed: boolean }>;
  /** The client's headers. */
  request: Headers;
  /** Fields that the middlewares in front set for each request; they are not the handler's. */
  prepared: Headers;
  defaults: Defaults;
  tagsOf(response: Response): readonly string[];
}

/** The largest body. The head of a response takes some of the value's bytes. */
const MAX_BODY_BYTES = MAX_VALUE_BYTES - 16_384;
/** How long the names of the fields that choose a response are kept. They seldom change. */
const CHOICE_MS = 86_400_000;
/** How long requests do not wait for one another after a response that could not be stored. */
const PASSING_MS = 10_000;
/** Reasons that the next response to the same request will probably have, too. */
const LASTING: readonly Reason[] = [
  ...(["no-store", "private", "set-cookie", "vary", "no-freshness"] as const),
  ...(["encoding", "stream", "too-large"] as const),
];

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #answered = Promise.withResolvers<Answer>();
  #isAsked = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    // Those who wait for the answer get the error. If nobody waits, the runtime must not report it.
    this.#answered.promise.catch(() => {});
  }

  get isAsked(): boolean {
    return this.#isAsked;
  }

  /** Resolves when the handler has answered, if it is asked at all. Rejects if asking fails. */
  get answered(): Promise<Answer> {
    return this.#answered.promise;
  }

  /** @param known the stored response to confirm, or to serve if the handler fails */
  ask(known?: Aged): Promise<Answer> {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#ask(known).then(this.#answered.resolve, this.#answered.reject);
    }
    return this.answered;
  }

  /**
   * Returns what the store keeps of the answer; undefined for nothing.
   *
   * @param names the fields whose values the key includes already
   */
  async computed(names: readonly string[], known?: Aged): Promise<Computed | undefined> {
    const answer = await this.ask(known).catch(() => undefined);
    if (!answer) return undefined;
    if (answer.kind === "passing") {
      return LASTING.includes(answer.reason) ? marker(PASSING_MS, { kind: "passing" }) : undefined;
    }
    const told = await answer.toStore;
    if (!told) return marker(PASSING_MS, { kind: "passing" });
    // Its body may have taken a while, and the clock may have been set back meanwhile.
    const residentMs = Math.max(0, WORKERS.now() - answer.atMs);
    const response = aged({ response: told, residentMs });
    const vary = new Headers(response.headers).get("Vary");
    const choosing = newNames(vary, names);
    if (choosing.length > 0) {
      return marker(CHOICE_MS, { kind: "choice", id: crypto.randomUUID(), names: choosing });
    }
    const value = encode(response);
    if (value.length > MAX_VALUE_BYTES) return undefined;
    return { value, ttlMs: keptMs(response), tags: answer.tags };
  }

  async #ask(known?: Aged): Promise<Answer> {
    const { run, request, defaults } = this.#options;
    const askedMs = WORKERS.now();
    const sent = unconditional(request, known && new Headers(known.response.headers));
    const { response, hasFailed } = await run(sent);
    const receivedMs = WORKERS.now();
    const times = { askedMs, receivedMs };
    const { status, headers, body } = response;
    if (known && status === 304) return this.#confirmed(known, headers, times);
    if (
      known &&
      (hasFailed || status >= 500) &&
      isUsableOnError(known.response.life, known.residentMs)
    ) {
      await body?.cancel();
      return {
        kind: "known",
        aged: known,
        forwardStatus: status,
        toStore: Promise.resolve(aged(known)),
        atMs: askedMs,
        tags: this.#tags(known.response.status, known.response.headers),
      };
    }
    const life = hasFailed ? "error" : storable(request, status, headers, times, defaults);
    if (typeof life === "string") return { kind: "passing", response, reason: life };
    if (Number(headers.get("Content-Length")) > MAX_BODY_BYTES) {
      return { kind: "passing", response, reason: "too-large" };
    }
    const reading = body && new Body(body, MAX_BODY_BYTES);
    const isCoded = /gzip/i.test(headers.get("Content-Encoding") ?? "");
    const stored = this.#fields(headers, life.omitted, receivedMs);
    if (isCoded) decoded(stored);
    const toStore = (reading?.whole ?? Promise.resolve(new Uint8Array())).then((whole) => {
      // A handler may code the body itself, and tells that only the runtime.
      if (!whole || (isCoded && isGzip(whole))) return undefined;
      return newResponse(life, status, stored, whole);
    });
    const tags = this.#tags(status, stored);
    return { kind: "storable", status, headers, body: reading, toStore, atMs: receivedMs, tags };
  }

  #confirmed(
    { response }: Aged,
    notModified: Headers,
    times: { askedMs: number; receivedMs: number },
  ): Answer {
    const { request, defaults } = this.#options;
    const headers = updated(new Headers(response.headers), notModified);
    const life = storable(request, response.status, headers, times, defaults);
    const isStorable = typeof life !== "string";
    const fields = this.#fields(headers, isStorable ? life.omitted : new Set(), times.receivedMs);
    const { status, body } = response;
    const told = newResponse(isStorable ? life : response.life, status, fields, body);
    return {
      kind: "known",
      aged: { response: told, residentMs: 0 },
      forwardStatus: 304,
      toStore: Promise.resolve(isStorable ? told : undefined),
      atMs: times.receivedMs,
      tags: this.#tags(status, fields),
    };
  }

  #tags(status: number, headers: HeadersInit): string[] {
    return [...this.#options.tagsOf(new Response(null, { status, headers }))];
  }

  /** Returns the fields to store: only the handler's, and a `Date`, which all caches need. */
  #fields(headers: Headers, omitted: ReadonlySet<string>, receivedMs: number): Headers {
    const fields = new Headers(headers);
    for (const name of omitted) fields.delete(name);
    for (const [name, value] of this.#options.prepared) {
      if (fields.get(name) === value) fields.delete(name);
    }
    if (!fields.has("Date")) fields.set("Date", new Date(receivedMs).toUTCString());
    return fields;
  }
}

function marker(ttlMs: number, stored: Stored): Computed {
  return { value: encode(stored), ttlMs, tags: [] };
}
