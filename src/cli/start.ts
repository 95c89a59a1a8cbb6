/**
 * `npm start`: names the mistakes in the configuration by their lines, then serves it by
 * `wrangler dev`, to which all arguments go.
 */
import { parseArgs } from "node:util";
import { run } from "./program.ts";
import { argumentsOf, runWrangler } from "./wrangler.ts";

/** For this machine only, where anyone who sees the page may use it. */
const FIXED = ["--var", "TOKEN:dev", "--var", "WATCH:full"];

try {
  const args = argumentsOf("npm start");
  const { values } = parseArgs({
    args,
    strict: false,
    options: { config: { type: "string", short: "c" }, env: { type: "string", short: "e" } },
  });
  const { config, env } = values;
  const file = typeof config === "string" ? [config] : [];
  await run(["validate", ...file, ...(typeof env === "string" ? ["--env", env] : [])]);
  if (!process.exitCode) runWrangler(["dev", ...FIXED, ...args]);
} catch (error) {
  console.error(`Not started: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
