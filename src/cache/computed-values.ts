/**
 * Values of any kind, each computed once for all who ask: fresh for a time, then stale while one
 * request computes it again. An error may be remembered, so that a broken source is not asked each
 * time.
 */
import * as v from "valibot";
import { durationSchema } from "../limit/duration.ts";
import { MisuseError, parse } from "../limit/misuse.ts";
import { Refreshes } from "./refreshes.ts";
import {
  type CacheStore,
  type Computed,
  type Found,
  MAX_KEPT_MS,
  MAX_VALUE_BYTES,
  tagsSchema,
} from "./value.ts";

export interface ComputeOptions {
  /** How long a value is fresh: a duration from `"1ms"` to `"7d"`. */
  ttl: string;
  /**
   * How long a stale value is still served, while one request computes it again: a duration up to
   * `"7d"`. Default `"0s"`.
   */
  staleFor?: string;
  /**
   * How long an error is thrown again, by its message, without another computation: a duration up
   * to `"1h"`. Default `"0s"`: each caller who waited computes for itself.
   */
  negativeFor?: string;
  /** Names under which values can be purged together. Default none. */
  tags?: readonly string[];
}

const HOUR_MS = 3_600_000;
const MAX_KEY_CHARS = 1_024;

export const keySchema = v.pipe(
  v.string("must be text"),
  v.check(
    ({ length }) => length > 0 && length <= MAX_KEY_CHARS,
    `must have 1 to ${MAX_KEY_CHARS} characters`,
  ),
);
const optionsSchema = v.strictObject({
  ttl: durationSchema(1, MAX_KEPT_MS),
  staleFor: v.optional(durationSchema(0, MAX_KEPT_MS), "0s"),
  negativeFor: v.optional(durationSchema(0, HOUR_MS), "0s"),
  tags: v.optional(tagsSchema, []),
});

/** Prefix of this version's keys. Another version might not read what this one stores. */
const KEY_PREFIX = "value-1";

/** The first byte of a stored value says what the others are. */
const JSON_TEXT = 0;
const BYTES = 1;
const ERROR_TEXT = 2;

/** @throws {MisuseError} if it is not text of 1 to 1,024 characters */
export function nameOfKey(key: string): string {
  return `${KEY_PREFIX} ${parse(keySchema, key, "key")}`;
}

export class ComputedValues {
  readonly #store: Pick<CacheStore, "lookUp">;
  readonly #refreshes = new Refreshes();

  constructor(store: Pick<CacheStore, "lookUp">) {
    this.#store = store;
  }

  /**
   * Returns the value under a key. If it is missing, one caller in a region computes it, and the
   * others wait for at most 5 s. Then each computes for itself.
   *
   * @param key 1 to 1,024 characters
   * @param compute returns bytes, or what JSON can hold, of less than 1 MB; `undefined` is not kept
   * @returns the value as JSON makes it, or as `compute` returned it if this call has computed it
   * @throws {MisuseError} naming the option, the rule and the value
   * @throws what `compute` throws, or an `Error` with its message if the error is remembered
   */
  async getOrCompute<Value>(
    key: string,
    options: ComputeOptions,
    compute: () => Value | Promise<Value>,
  ): Promise<Value> {
    const name = nameOfKey(key);
    const { ttl: ttlMs, staleFor, negativeFor, tags } = parse(optionsSchema, options);
    const kept = { ttlMs: ttlMs + staleFor, tags };
    let own: { value: Value } | { error: unknown } | undefined;
    const computed = async (): Promise<Computed | undefined> => {
      try {
        const value = await compute();
        own = { value };
        const bytes = encode(value);
        return bytes && { value: bytes, ...kept };
      } catch (error) {
        own = { error };
        if (negativeFor === 0) return undefined;
        const text = error instanceof Error ? error.message : String(error);
        return { value: tagged(ERROR_TEXT, text), ttlMs: negativeFor, tags };
      }
    };
    const found = await this.#store.lookUp(name, computed).catch((error) => {
      // An error's text may be too large to be remembered; the caller gets the error itself.
      if (!own) throw error;
    });
    if (!own && !found) await computed();
    if (own) return result(own);
    const { value: bytes, ageMs } = found as Found;
    const isStale = bytes[0] !== ERROR_TEXT && ageMs >= ttlMs;
    if (isStale) this.#refreshLater(name, found as Found, compute, kept);
    return decode(bytes) as Value;
  }

  #refreshLater(
    name: string,
    { version }: Found,
    compute: () => unknown,
    kept: Omit<Computed, "value">,
  ): void {
    const computed = async () => {
      const bytes = encode(await compute());
      return bytes && { value: bytes, ...kept };
    };
    this.#refreshes.begin(name, () => this.#store.lookUp(name, computed, version));
  }
}

function result<Value>(own: { value: Value } | { error: unknown }): Value {
  if ("error" in own) throw own.error;
  return own.value;
}

function encode(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return prefixed(BYTES, value);
  if (value instanceof ArrayBuffer) return prefixed(BYTES, new Uint8Array(value));
  const text = JSON.stringify(value);
  // A `Response`, a stream or a `Map` would be `{}` for all but the caller that computes.
  if (text === "{}" && !isPlain(value)) {
    throw new MisuseError("value", "must be bytes, or what JSON can hold", value);
  }
  return text === undefined ? undefined : tagged(JSON_TEXT, text);
}

function isPlain(value: unknown): boolean {
  return [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

/** @throws {Error} if the bytes are a remembered error */
function decode(bytes: Uint8Array): unknown {
  if (bytes[0] === BYTES) return bytes.slice(1);
  const text = new TextDecoder().decode(bytes.subarray(1));
  if (bytes[0] === ERROR_TEXT) throw new Error(text);
  return JSON.parse(text);
}

function tagged(kind: number, text: string): Uint8Array {
  return prefixed(kind, new TextEncoder().encode(text));
}

/** @throws {MisuseError} if it is too large to be stored */
function prefixed(kind: number, bytes: Uint8Array): Uint8Array {
  if (bytes.length >= MAX_VALUE_BYTES) {
    throw new MisuseError("value", `must have less than ${MAX_VALUE_BYTES} bytes`, bytes.length);
  }
  const all = new Uint8Array(bytes.length + 1);
  all[0] = kind;
  all.set(bytes, 1);
  return all;
}
