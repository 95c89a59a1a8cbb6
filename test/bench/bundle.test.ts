/** Keeps what is deployed small: sizes are of the minified bundle, gzipped, Hono included. */
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { bundleFile } from "./contenders.ts";

/** What `import … from "turnpike"` adds to somebody's Worker. */
const MAX_LIBRARY_BYTES = 45_000;
/** The deployed Worker has the gateway, the API and the demo besides. */
const MAX_GATEWAY_BYTES = 62_000;

async function gzippedBytes(path: string): Promise<number> {
  return gzipSync(await bundleFile(path, true)).length;
}

describe("the bundle", () => {
  it("is small for users of the library", async () => {
    expect(await gzippedBytes("src/index.ts")).toBeLessThan(MAX_LIBRARY_BYTES);
  });

  it("is small for the gateway", async () => {
    expect(await gzippedBytes("src/worker.ts")).toBeLessThan(MAX_GATEWAY_BYTES);
  });
});
