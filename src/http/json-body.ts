/** The body of an API call, read whole. */
import type { Context } from "hono";
import { MisuseError } from "../limit/misuse.ts";

/** @throws {MisuseError} if it is not JSON, or a list, which a schema of fields would let pass */
export async function jsonBody(c: Context): Promise<unknown> {
  const body = parsed(await c.req.text());
  if (Array.isArray(body)) throw new MisuseError("", "must be an object", body);
  return body;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MisuseError("", "must be JSON", text);
  }
}
