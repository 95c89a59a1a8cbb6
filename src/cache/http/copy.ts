/**
 * Serves the most common hit: a fresh response that this isolate has a copy of, to a client without
 * conditions. It waits for nothing, and decodes each copy once. `Visit` does everything else.
 */
import type { Context } from "hono";
import type { Found } from "../value.ts";
import { cacheStatus } from "./cache-status.ts";
import { BODILESS, replace } from "./respond.ts";
import type { Life } from "./storable.ts";
import { decode } from "./stored.ts";
import { ttlOf } from "./usable.ts";

/** A copy, ready to be sent. */
interface Ready {
  life: Life;
  status: 200;
  stored: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
  /** The two numbers, which change once a second, that `fields` were made for. */
  ageSeconds: number;
  ttlSeconds: number;
  fields: [name: string, value: string][];
}

/** A response with one of these fields is left to `Visit`, since they need more care. */
const NOT_AS_THEY_ARE = ["vary", "set-cookie", "content-encoding"];
const readied = new WeakMap<Uint8Array, Ready | null>();

/** @returns whether the request is answered */
export function serveCopy(c: Context, request: Headers, { value, ageMs }: Found): boolean {
  let ready = readied.get(value);
  if (ready === undefined) {
    ready = readyOf(value);
    readied.set(value, ready);
  }
  if (!ready) return false;
  const { life, status, body } = ready;
  const ttlMs = ttlOf(life, ageMs);
  if (ttlMs <= 0) return false;
  if (request.has("if-none-match") || request.has("if-modified-since")) return false;
  const ageSeconds = Math.floor((life.initialAgeMs + ageMs) / 1_000);
  const ttlSeconds = Math.floor(ttlMs / 1_000);
  if (ready.ageSeconds !== ageSeconds || ready.ttlSeconds !== ttlSeconds) {
    const told = cacheStatus(ready.stored["cache-status"] ?? null, { hit: true, ttlMs });
    const fields = { ...ready.stored, age: String(ageSeconds), "cache-status": told };
    Object.assign(ready, { ageSeconds, ttlSeconds, fields: Object.entries(fields) });
  }
  // It has the fields that the middlewares in front have prepared. Given these fields, too, Hono
  // would write all of them twice.
  const response = c.newResponse(body, status);
  const { headers } = response;
  for (const [name, value] of ready.fields) headers.set(name, value);
  replace(c, response);
  return true;
}

function readyOf(value: Uint8Array): Ready | null {
  const stored = decode(value);
  if (stored.kind !== "response" || stored.life.isValidatedAlways) return null;
  const { life, status, body } = stored;
  const isPlain = !stored.headers.some(([name]) => NOT_AS_THEY_ARE.includes(name));
  if (!isPlain || BODILESS.includes(status)) return null;
  return {
    life,
    status: status as 200,
    stored: {
      ...Object.fromEntries(stored.headers),
      "content-length": String(body.length),
    },
    body: body as Uint8Array<ArrayBuffer>,
    ageSeconds: Number.NaN,
    ttlSeconds: Number.NaN,
    fields: [],
  };
}
