/**
 * Keeps what is deployed small: the minified bundle, gzipped, Hono included where it is used, in the
 * KiB that `wrangler deploy` prints with `keep_names = false`.
 */
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { bundleFile, bundleText } from "./contenders.ts";

/** What `import … from "turnpike"` adds to somebody's Worker, as the README says. The aim is 45. */
const MAX_LIBRARY_KIB = 61.1;
/** The same without the middleware. */
const MAX_LIMITER_KIB = 46.1;
/** The same in a Worker that others call by a service binding. */
const MAX_CALLED_KIB = 62.3;
/**
 * The deployed Worker has the gateway, events, live policies, the API with its
 * document and both pages besides; the chart takes 22.
 */
const MAX_GATEWAY_KIB = 145.8;

/** An app with all of the library but the entrypoint for other Workers. */
const APP = `
  import { addressKey, limiter, MisuseError, rateLimit } from "./src/index.ts";
  export { Membership, RateLimiter } from "./src/index.ts";
  export default { addressKey, limiter, MisuseError, rateLimit };`;

const LIMITER_APP = `
  import { limiter } from "./src/index.ts";
  export { Membership, RateLimiter } from "./src/index.ts";
  export default { limiter };`;

function gzippedKib(text: string): number {
  return gzipSync(text).length / 1_024;
}

describe("the bundle", () => {
  it("is small for users of the library", async () => {
    expect(gzippedKib(await bundleText(APP, ".", true))).toBeLessThan(MAX_LIBRARY_KIB);
  });

  it("has nothing of the middleware in an app that has only limiters", async () => {
    const text = await bundleText(LIMITER_APP, ".", true);
    expect(text).not.toContain("RateLimit-Policy");
    expect(gzippedKib(text)).toBeLessThan(MAX_LIMITER_KIB);
  });

  it("has nothing of the entrypoint in an app that other Workers do not call", async () => {
    expect(await bundleText(APP, ".")).not.toContain("WorkerEntrypoint");
    const called = await bundleFile("src/index.ts", true);
    expect(called).toContain("WorkerEntrypoint");
    expect(gzippedKib(called)).toBeLessThan(MAX_CALLED_KIB);
  });

  it("has nothing of the test kit", async () => {
    expect(await bundleText(APP, ".")).not.toContain("the test kit is not installed");
    const tested = `export { installTestKit } from "./src/testing/index.ts"`;
    expect(await bundleText(tested, ".")).toContain("the test kit is not installed");
  });

  it("is small for the gateway", async () => {
    expect(gzippedKib(await bundleFile("src/worker.ts", true))).toBeLessThan(MAX_GATEWAY_KIB);
  });
});
