/**
 * Looks at a body on its way to the client: how many bytes it has, and which values are in its JSON.
 *
 * An encoded body is decoded here to be read, and passes as it is.
 */
import { type JsonValues, jsonValues } from "./json-values.ts";

/** How encodings are called where they are decoded. Others are not read. */
const DECODED: Record<string, string> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
};

export class BodyMeter {
  /** Bytes that have passed. */
  bytes = 0;
  readonly #paths: readonly (readonly string[])[];
  readonly #values = new Map<readonly string[], number>();
  #read: ((chunk: Uint8Array) => void) | undefined;
  #end: () => void | Promise<void> = () => {};

  /** @param paths of the values to be found, each the same list as `valueAt` is asked for */
  constructor(paths: readonly (readonly string[])[]) {
    this.#paths = paths;
  }

  /**
   * Begins with a response.
   *
   * @param isEncoded whether its body is as its `Content-Encoding` says
   */
  begin({ headers }: Response, isEncoded: boolean): void {
    if (this.#paths.length === 0) return;
    const values = jsonValues(headers.get("Content-Type") ?? "", this.#paths, (index, value) => {
      this.#values.set(this.#paths[index] as readonly string[], value);
    });
    if (!values) return;
    const encoding = isEncoded ? (headers.get("Content-Encoding") ?? "") : "";
    if (encoding === "" || encoding === "identity") this.#readPlain(values);
    else this.#readEncoded(values, DECODED[encoding.toLowerCase()]);
  }

  look(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#read?.(chunk);
  }

  /** To be awaited after the last chunk, before values are asked for. */
  async end(): Promise<void> {
    await this.#end();
  }

  valueAt(path: readonly string[]): number | undefined {
    return this.#values.get(path);
  }

  #readPlain(values: JsonValues): void {
    const decoder = new TextDecoder();
    this.#read = (chunk) => values.push(decoder.decode(chunk, { stream: true }));
    this.#end = () => {
      values.push(decoder.decode());
      values.end();
    };
  }

  #readEncoded(values: JsonValues, encoding: string | undefined): void {
    let stream: DecompressionStream;
    try {
      stream = new DecompressionStream(encoding as "gzip");
    } catch {
      return;
    }
    const writer = stream.writable.getWriter();
    const ignore = () => {};
    const decoder = new TextDecoder();
    const read = async () => {
      for await (const chunk of stream.readable) {
        values.push(decoder.decode(chunk, { stream: true }));
      }
      values.end();
    };
    const done = read().catch(ignore);
    this.#read = (chunk) => void writer.write(chunk).catch(ignore);
    this.#end = () => {
      writer.close().catch(ignore);
      return done;
    };
  }
}
