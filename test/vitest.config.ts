/**
 * Two kinds of tests: those that run inside workerd, beside the objects they look at, and those
 * that run in Node because they start servers and browsers.
 */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const OUTSIDE = [
  "test/{house,worker}.test.ts",
  "test/caller/start.test.ts",
  "test/fuzz/readers.test.ts",
  "test/http/{blocks,cors,demo,gate,gateway,in-flight,origins,log-lines,shared-quotas,streaming}.test.ts",
  "test/http/keys.test.ts",
  "test/openapi/client.test.ts",
  "test/readme/calls.test.ts",
  "test/http/{bodies,leaving,sockets,waiting}.test.ts",
  "test/http/{legacy,passthrough}.test.ts",
  "test/ring/{change,elastic,interrupted}.test.ts",
  "test/{bench,binding,cli,faults,simulation}/**/*.test.ts",
];

/** A machine that is busy must not have tests counted by the fallback; those of it set their own. */
const bindings = { DEADLINE: "10s" };
/** Cases for each property in test/fuzz: workerd has no environment of its own to read it from. */
const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 200);
/** A proxy in front of a running API: `npm run check:openapi` sets it. */
const apiProxy = process.env.API_PROXY ?? "";

export default defineConfig({
  test: {
    // Most of them wait for servers and clocks most of the time.
    maxWorkers: 2,
    projects: [
      {
        root: ".",
        plugins: [
          cloudflareTest({ wrangler: { configPath: "./wrangler.toml" }, miniflare: { bindings } }),
        ],
        // As an app imports it; the package itself has what was built last.
        resolve: { alias: { turnpike: new URL("../src/index.ts", import.meta.url).pathname } },
        test: {
          name: "workerd",
          include: ["test/**/*.test.ts"],
          exclude: OUTSIDE,
          provide: { fuzzRuns, apiProxy },
        },
      },
      {
        root: ".",
        test: {
          name: "outside",
          include: OUTSIDE,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          provide: { fuzzRuns, apiProxy },
        },
      },
    ],
  },
});
