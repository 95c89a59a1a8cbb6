/**
 * The estimated cost of a request, from its body: `cost = "json:max_tokens"`.
 *
 * The body is read up to a bound, from a copy. The handler and the origin get all of it, unchanged.
 * A client that writes no such number, or hides it behind the bound, is reserved one unit, and
 * charged what the response came to.
 */
import type { Context } from "hono";
import { parseJson } from "../../limit/json.ts";
import type { Policy } from "../../limit/policy.ts";
import { logSeldom } from "../../log.ts";
import { isUnits, valueAt } from "./json-values.ts";

/** Bytes of a body that are looked at. */
export const MAX_BODY_BYTES = 1_048_576;
/** The cost of a request that names none. */
const LEAST = 1;

/** What was read of bodies: several policies may look at one. */
const bodies = new WeakMap<Request, Promise<unknown>>();

/** Returns the function that reads a policy's cost. */
export function costInBody({ name }: Policy, path: readonly string[]) {
  return async (c: Context): Promise<number> => {
    const { raw } = c.req;
    const body = bodies.get(raw) ?? jsonOf(c);
    bodies.set(raw, body);
    const value = valueAt(await body, path);
    if (isUnits(value) && value >= LEAST) return value;
    const detail = "the request names no cost, so 1 is reserved";
    logSeldom("warn", "estimate-missing", name, { policy: name, path: path.join("."), detail });
    return LEAST;
  };
}

async function jsonOf(c: Context): Promise<unknown> {
  const { raw } = c.req;
  // Another middleware has read it by Hono, which keeps it.
  if (raw.bodyUsed) return c.req.json().catch(() => undefined);
  if (!raw.body || Number(raw.headers.get("Content-Length")) > MAX_BODY_BYTES) return undefined;
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of raw.clone().body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      // Breaks off, and so cancels the copy.
      if (bytes > MAX_BODY_BYTES) return undefined;
      text += decoder.decode(chunk, { stream: true });
    }
  } catch {
    // The client has left.
    return undefined;
  }
  return parseJson(text + decoder.decode());
}
