/** The body of an API call, read whole. */

import type { Context } from "hono";
import { parseJson } from "../../limit/json.ts";
import { MisuseError } from "../../limit/misuse.ts";

const MAX_BODY_BYTES = 65_536;

/** Thrown as soon as a body has more bytes than it may have. */
export class BodyTooLarge extends Error {
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    super();
    this.maxBytes = maxBytes;
  }
}

/**
 * @throws {BodyTooLarge} if the body has more than `maxBytes`
 * @throws {MisuseError} if the body is not JSON in UTF-8
 */
export async function jsonBody(c: Context, maxBytes = MAX_BODY_BYTES): Promise<unknown> {
  const text = await textOf(c.req.raw.body, maxBytes);
  const body = parseJson(text);
  if (body === undefined) throw new MisuseError("", "must be JSON", text);
  return body;
}

async function textOf(body: AsyncIterable<Uint8Array> | null, maxBytes: number): Promise<string> {
  // Replacement characters would turn two keys (`r\xe8` and `r\xe9`) into one. A BOM is removed.
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
    if (bytes > maxBytes) throw new BodyTooLarge(maxBytes);
    text += decode(piece, { stream: true });
  }
  return text + decode();
}
