/**
 * Looks at a body on its way to the client: how many bytes it has, and which values are in its
 * JSON.
 */
import type { ChunkReader, Decode } from "./decoding.ts";
import { jsonValues } from "./json-values.ts";

export class BodyMeter {
  /** Bytes that have passed. */
  bytes = 0;
  readonly #paths: readonly (readonly string[])[];
  readonly #values = new Map<readonly string[], number>();
  #reader: ChunkReader | undefined;

  /** @param paths paths of the values to find. `valueAt` takes these same lists, not copies */
  constructor(paths: readonly (readonly string[])[]) {
    this.#paths = paths;
  }

  /**
   * Begins with a response.
   *
   * @param decode reads the body if it is encoded; undefined if the runtime has decoded it
   */
  begin({ headers }: Response, decode: Decode | undefined): void {
    if (this.#paths.length === 0) return;
    const values = jsonValues(headers.get("Content-Type") ?? "", this.#paths, (index, value) => {
      this.#values.set(this.#paths[index] as readonly string[], value);
    });
    if (!values) return;
    const decoder = new TextDecoder();
    const reader: ChunkReader = {
      push: (chunk) => values.push(decoder.decode(chunk, { stream: true })),
      end: () => values.end(),
    };
    this.#reader = decode ? decode(headers, reader) : reader;
  }

  look(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#reader?.push(chunk);
  }

  /** To be awaited after the last chunk, before values are asked for. */
  async end(): Promise<void> {
    await this.#reader?.end();
  }

  valueAt(path: readonly string[]): number | undefined {
    return this.#values.get(path);
  }
}
