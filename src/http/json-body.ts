/** The body of an API call, read whole. */
import type { Context } from "hono";
import { MisuseError } from "../limit/misuse.ts";

/** @throws {MisuseError} if it is not JSON */
export async function jsonBody(c: Context): Promise<unknown> {
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new MisuseError("", "must be JSON", text);
  }
}
