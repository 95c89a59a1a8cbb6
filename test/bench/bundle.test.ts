/**
 * Keeps what is deployed small: the minified bundle, gzipped, Hono included, in the KiB that
 * `wrangler deploy` prints.
 */
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { bundleFile } from "./contenders.ts";

/** What `import … from "turnpike"` adds to somebody's Worker. */
const MAX_LIBRARY_KIB = 45;
/** The deployed Worker has the gateway, the API and the demo besides. */
const MAX_GATEWAY_KIB = 60;

async function gzippedKib(path: string): Promise<number> {
  return gzipSync(await bundleFile(path, true)).length / 1_024;
}

describe("the bundle", () => {
  it("is small for users of the library", async () => {
    expect(await gzippedKib("src/index.ts")).toBeLessThan(MAX_LIBRARY_KIB);
  });

  it("is small for the gateway", async () => {
    expect(await gzippedKib("src/worker.ts")).toBeLessThan(MAX_GATEWAY_KIB);
  });
});
