/** The body of an API call, read whole. */
import type { Context } from "hono";
import { MisuseError } from "../limit/misuse.ts";

/**
 * Decoding by replacement would make one key of several (`r\xe8` and `r\xe9`). A BOM is left out.
 */
const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * @throws {MisuseError} if it is not JSON in UTF-8, or a list, which a schema of fields would let
 *   pass
 */
export async function jsonBody(c: Context): Promise<unknown> {
  const body = parsed(decoded(await c.req.arrayBuffer()));
  if (Array.isArray(body)) throw new MisuseError("", "must be an object", body);
  return body;
}

function decoded(bytes: ArrayBuffer): string {
  try {
    return UTF_8.decode(bytes);
  } catch {
    throw new MisuseError("", "must be in UTF-8", "bytes that are not");
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MisuseError("", "must be JSON", text);
  }
}
