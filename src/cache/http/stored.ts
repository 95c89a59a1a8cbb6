/** What is stored under a key, as bytes: the head's length, the head in JSON, the body. Pure. */
import type { Life } from "./storable.ts";

export type Stored = StoredResponse | Choice | Passing;

export interface StoredResponse {
  kind: "response";
  life: Life;
  status: number;
  headers: [name: string, value: string][];
  body: Uint8Array;
}

/** The names of the request fields that choose a response, which has a key of its own. */
export interface Choice {
  kind: "choice";
  id: string;
  names: string[];
}

/** The last response could not be stored, so requests do not wait for one another. */
export interface Passing {
  kind: "passing";
}

const LENGTH_BYTES = 4;

export function encode(stored: Stored): Uint8Array {
  const { body, ...head } = { body: new Uint8Array(), ...stored };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(LENGTH_BYTES + text.length + body.length);
  new DataView(bytes.buffer).setUint32(0, text.length);
  bytes.set(text, LENGTH_BYTES);
  bytes.set(body, LENGTH_BYTES + text.length);
  return bytes;
}

export function decode(bytes: Uint8Array): Stored {
  const { buffer, byteOffset } = bytes;
  const end = LENGTH_BYTES + new DataView(buffer, byteOffset).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, end)));
  return head.kind === "response" ? { ...head, body: bytes.subarray(end) } : head;
}
