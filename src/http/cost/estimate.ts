/**
 * The estimated cost of a request, from its body: `cost = "json:max_tokens"`.
 *
 * The body is read from a copy. The handler and the origin get all of it, unchanged. If the body
 * has no such number, or is longer than `MAX_BODY_BYTES`, one unit is reserved.
 */
import type { Context } from "hono";
import { parseJson } from "../../limit/json.ts";
import type { Policy } from "../../limit/policy.ts";
import { logSeldom } from "../../log.ts";
import { isUnits, valueAt } from "./json-values.ts";

/** A longer body is not looked at. */
export const MAX_BODY_BYTES = 1_048_576;
/** The cost of a request that names none. */
const LEAST = 1;

/** The JSON of bodies, by request: several policies may look at one body. */
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
  // Another middleware has read the body through Hono, which keeps it.
  if (raw.bodyUsed) return c.req.json().catch(() => undefined);
  if (!raw.body || Number(raw.headers.get("Content-Length")) > MAX_BODY_BYTES) return undefined;
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of raw.clone().body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      // Leaving the loop cancels the copy.
      if (bytes > MAX_BODY_BYTES) return undefined;
      text += decoder.decode(chunk, { stream: true });
    }
  } catch {
    // The client has left.
    return undefined;
  }
  return parseJson(text + decoder.decode());
}
