/** The body of an API call, read whole. */
import type { Context } from "hono";
import { MisuseError } from "../../limit/misuse.ts";

export const MAX_BODY_BYTES = 65_536;

/** Thrown for a body of more than `MAX_BODY_BYTES`, as soon as that is known. */
export class BodyTooLarge extends Error {}

/**
 * @throws {BodyTooLarge}
 * @throws {MisuseError} if it is not JSON in UTF-8, or a list, which a schema of fields would let
 *   pass
 */
export async function jsonBody(c: Context): Promise<unknown> {
  const body = parsed(await textOf(c.req.raw.body));
  if (Array.isArray(body)) throw new MisuseError("", "must be an object", body);
  return body;
}

async function textOf(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  // Decoding by replacement would make one key of several (`r\xe8` and `r\xe9`). A BOM is left out.
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  const decode = (...piece: Parameters<TextDecoder["decode"]>) => {
    try {
      return decoder.decode(...piece);
    } catch {
      throw new MisuseError("", "must be in UTF-8", "bytes that are not");
    }
  };
  let bytes = 0;
  let text = "";
  for await (const piece of body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) throw new BodyTooLarge();
    text += decode(piece, { stream: true });
  }
  return text + decode();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MisuseError("", "must be JSON", text);
  }
}
