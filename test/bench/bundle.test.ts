import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { bundleFile } from "./contenders.ts";

/** Hono alone takes 16 KB of it. */
const MAX_BYTES = 45_000;

it("keeps the deployed Worker small", async () => {
  expect(gzipSync(await bundleFile("src/worker.ts", true)).length).toBeLessThan(MAX_BYTES);
});
