/**
 * `npm start`: names the mistakes in the configuration by their lines, then serves it by
 * `wrangler dev`, to which all arguments go.
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { takenByNpm } from "./npm-arguments.ts";
import { run } from "./program.ts";

const args = process.argv.slice(2);
/** For this machine only, where anyone who sees the page may use it. */
const FIXED = ["--var", "TOKEN:dev", "--var", "WATCH:full"];

const taken = takenByNpm("npm start");
if (taken) {
  console.error(`Not started: ${taken}`);
  process.exit(2);
}

const { values } = parseArgs({
  args,
  strict: false,
  options: { config: { type: "string", short: "c" }, env: { type: "string", short: "e" } },
});
const { config, env } = values;
const file = typeof config === "string" ? [config] : [];
await run(["validate", ...file, ...(typeof env === "string" ? ["--env", env] : [])]);
if (process.exitCode) process.exit();

const wrangler = spawn("wrangler", ["dev", ...FIXED, ...args], { stdio: "inherit" });
wrangler.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
// It ends first, so that nothing of it is printed behind the next prompt.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => wrangler.kill());
