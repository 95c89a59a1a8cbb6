/**
 * Looks at a body on its way to the client: how many bytes it has, and which values are in its JSON.
 *
 * An encoded body is decoded here to be read, and passes as it is.
 */
import { jsonValues } from "./json-values.ts";

/** Encodings, and what the runtime calls them. One that it does not decode is not read. */
const FORMATS: Record<string, string> = {
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
    const decoder = new TextDecoder();
    const read = (chunk: Uint8Array) => values.push(decoder.decode(chunk, { stream: true }));
    const encoding = (isEncoded && headers.get("Content-Encoding")?.toLowerCase()) || "identity";
    const end = () => values.end();
    if (encoding === "identity") {
      this.#read = read;
      this.#end = end;
    } else this.#decode(encoding, read, end);
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

  #decode(encoding: string, read: (chunk: Uint8Array) => void, end: () => void): void {
    let stream: DecompressionStream;
    try {
      stream = new DecompressionStream(FORMATS[encoding] as "gzip");
    } catch {
      return;
    }
    const ignore = () => {};
    const writer = stream.writable.getWriter();
    const readAll = async () => {
      for await (const chunk of stream.readable) read(chunk);
      end();
    };
    const over = readAll().catch(ignore);
    this.#read = (chunk) => void writer.write(chunk).catch(ignore);
    this.#end = () => {
      writer.close().catch(ignore);
      return over;
    };
  }
}
