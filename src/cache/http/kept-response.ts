/** How a response is kept, with its body decoded, and for how long. Pure. */
import { MAX_KEPT_MS } from "../value.ts";
import type { Life } from "./storable.ts";
import type { StoredResponse } from "./stored.ts";

/** A response from the store, and for how long it has been there. */
export interface Aged {
  response: StoredResponse;
  residentMs: number;
}

/** How long a stale response is kept if the handler can confirm it. */
const CONFIRMABLE_MS = 3_600_000;

export function newResponse(
  life: Life,
  status: number,
  headers: Headers,
  body: Uint8Array,
): StoredResponse {
  const { initialAgeMs, lifetimeMs, staleMs, staleOnErrorMs, isValidatedAlways, isNeverStale } =
    life;
  return {
    kind: "response",
    life: { initialAgeMs, lifetimeMs, staleMs, staleOnErrorMs, isValidatedAlways, isNeverStale },
    status,
    headers: [...headers],
    body,
  };
}

/** Returns the response as it must be stored again: its age so far becomes its initial age. */
export function aged({ response, residentMs }: Aged): StoredResponse {
  const { life } = response;
  return { ...response, life: { ...life, initialAgeMs: life.initialAgeMs + residentMs } };
}

/** Returns how long a response can be of use. */
export function keptMs({ life, headers }: StoredResponse): number {
  const freshMs = life.lifetimeMs - life.initialAgeMs;
  const isConfirmable = headers.some(([name]) => name === "etag" || name === "last-modified");
  const laterMs = Math.max(life.staleMs, life.staleOnErrorMs);
  const keptMs = Math.max(
    freshMs + laterMs,
    isConfirmable ? Math.max(0, freshMs) + CONFIRMABLE_MS : 0,
  );
  return Math.min(keptMs, MAX_KEPT_MS);
}

/** Corrects fields after the runtime has decoded a body: the origin's tag was for other bytes. */
export function decoded(headers: Headers): void {
  headers.delete("Content-Encoding");
  const tag = headers.get("ETag");
  if (tag?.startsWith('"')) headers.set("ETag", `W/${tag}`);
}

export function isGzip([first, second]: Uint8Array): boolean {
  return first === 0x1f && second === 0x8b;
}
