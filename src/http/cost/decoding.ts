/** Decodes bodies in order to read them. Only the gateway passes encoded bodies on as they are. */

/** Takes a body's chunks one after the other, then its end. */
export interface ChunkReader {
  push(chunk: Uint8Array): void;
  end(): void | Promise<void>;
}

/** Returns a reader that decodes a body with these headers for `reader`; undefined if it cannot. */
export type Decode = (headers: Headers, reader: ChunkReader) => ChunkReader | undefined;

/** Content encodings, and the runtime's names for them. A body in any other is not read. */
const FORMATS: Record<string, string> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
};

export const decode: Decode = (headers, reader) => {
  const encoding = headers.get("Content-Encoding")?.toLowerCase() || "identity";
  if (encoding === "identity") return reader;
  let stream: DecompressionStream;
  try {
    stream = new DecompressionStream(FORMATS[encoding] as "gzip");
  } catch {
    return undefined;
  }
  const ignore = () => {};
  const writer = stream.writable.getWriter();
  const readAll = async () => {
    for await (const chunk of stream.readable) reader.push(chunk);
    await reader.end();
  };
  const over = readAll().catch(ignore);
  return {
    push: (chunk) => void writer.write(chunk as BufferSource).catch(ignore),
    end() {
      writer.close().catch(ignore);
      return over;
    },
  };
};
