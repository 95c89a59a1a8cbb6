/** Reads encoded bodies, which only the gateway passes on as they are. */

/** Takes a body's chunks one after the other, then its end. */
export interface ChunkReader {
  push(chunk: Uint8Array): void;
  end(): void | Promise<void>;
}

/** Returns what reads the body with these headers and hands it on decoded. */
export type Decode = (headers: Headers, reader: ChunkReader) => ChunkReader | undefined;

/** Encodings, and what the runtime calls them. One that it does not decode is not read. */
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
