/**
 * Three kinds of tests. Those that start servers and browsers, and those of code without a runtime,
 * run in Node. All others run inside workerd, beside the objects they look at.
 */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { RunEnd } from "./run-end.ts";
import { SlowFirst } from "./sequencer.ts";

/** These wait most of the time, so they come first and the others run meanwhile. */
const SERVERS = [
  "test/worker.test.ts",
  "test/cache/{cached-worker,purge-api,real-owners}.test.ts",
  "test/caller/start.test.ts",
  "test/fuzz/readers.test.ts",
  "test/http/{blocks,cors,gate,gateway,in-flight,origins,log-lines,quota,shared-quotas,streaming,live-policies}.test.ts",
  "test/http/keys.test.ts",
  "test/openapi/client.test.ts",
  "test/readme/calls.test.ts",
  "test/http/{ahead-origin,bodies,changed-policies,leaving,sockets,waiting}.test.ts",
  "test/http/{legacy,models,passthrough}.test.ts",
  "test/ring/{change,elastic,interrupted}.test.ts",
  "test/cli/{deploy,operate,policies}.test.ts",
  "test/dashboard/{demo,explain,live,slow-reader}.test.ts",
  "test/watch/{agreement,watch}.test.ts",
  "test/{bench,binding,faults,peers,simulation}/**/*.test.ts",
];
/** Code that imports nothing of Cloudflare's. One process for all of them: each takes little. */
const PURE = [
  "test/{clock,config,house,log}.test.ts",
  "test/http/json-values.test.ts",
  "test/watch/{analytics,counts,denial-log,metrics}.test.ts",
  "test/{cli,counters,dashboard,events,limit,membership,protocol,ring,testing}/**/*.test.ts",
  "test/owner/{checkpoint,checkpoint-lives,export,holds,inexact,late-writes,operated-ring-owner,owner,ring-owner}.test.ts",
  "test/caller/{all-or-none,background,batcher,caller,denial-cache,denials,failing-owner,failure-report,fallback,giving-back,leases,policies-follower,ring-follower}.test.ts",
  "test/cache/simulation.test.ts",
  "test/fuzz/{checkpoint,config,ring}.test.ts",
];

/** For a test on a machine that is busy: only one that hangs takes so long. */
const PATIENCE_MS = 180_000;
/** Below that, so that a poll that fails says what it has seen last. */
const expect = { poll: { timeout: 60_000 } };
/** A machine that is busy must not have tests counted by the fallback; those of it set their own. */
const bindings = { DEADLINE: "10s" };
/** Cases for each property in test/fuzz: workerd has no environment of its own to read it from. */
const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 200);
/** A proxy in front of a running API: `npm run check:openapi` sets it. */
const apiProxy = process.env.API_PROXY ?? "";
/** Races between handlers and verdicts. */
const races = Number(process.env.RACES ?? 280);
const provide = { fuzzRuns, races, apiProxy };

function sourceOf(entry: string): string {
  return new URL(`../src/${entry}.ts`, import.meta.url).pathname;
}

export default defineConfig({
  test: {
    // More than two cores: a file that waits leaves its core to another.
    maxWorkers: 4,
    sequence: { sequencer: SlowFirst },
    globalSetup: "test/temp-folder.ts",
    reporters: [new RunEnd()],
    // What a test logs is shown only if it fails.
    silent: "passed-only",
    slowTestThreshold: 60_000,
    projects: [
      {
        root: ".",
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings },
            // Errors that a test expects are no news; those it does not expect fail it.
            verbose: false,
          }),
        ],
        // As an app imports it; the package itself has what was built last.
        resolve: {
          alias: {
            "turnpike/cache": sourceOf("cache"),
            "turnpike/testing": sourceOf("testing/index"),
            "turnpike/events": sourceOf("events"),
            turnpike: sourceOf("index"),
          },
        },
        test: {
          name: "workerd",
          include: ["test/**/*.test.ts"],
          exclude: [...SERVERS, ...PURE],
          // A runtime for each file would take twice the time.
          isolate: false,
          // The second is for tests that import rooms, and not an entry point.
          setupFiles: ["test/fresh-worker.ts", "src/workers.ts"],
          testTimeout: PATIENCE_MS,
          expect,
          provide,
        },
      },
      {
        root: ".",
        test: {
          name: "pure",
          include: PURE,
          exclude: SERVERS,
          pool: "threads",
          isolate: false,
          setupFiles: ["test/fresh-modules.ts"],
          testTimeout: PATIENCE_MS,
          expect,
          provide,
        },
      },
      {
        root: ".",
        test: {
          name: "servers",
          include: SERVERS,
          isolate: false,
          setupFiles: ["test/fresh-modules.ts"],
          testTimeout: PATIENCE_MS,
          expect,
          hookTimeout: PATIENCE_MS,
          provide,
        },
      },
    ],
  },
});
