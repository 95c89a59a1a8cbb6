/**
 * `npm run deploy`: checks the upload as the Worker would at its start, says which counts the
 * deployment forgets and which policies stay live, then deploys.
 *
 * All arguments go to `wrangler deploy`. With `--dry-run` among them, nothing is uploaded.
 */
import { spawn } from "node:child_process";
import { parseConfig } from "../config.ts";
import { readDeployed } from "./deployed.ts";
import { forgotten } from "./forgotten.ts";
import { livePolicies } from "./live-policies.ts";
import { takenByNpm } from "./npm-arguments.ts";
import { bindingsAfter, readUpload, variablesOf } from "./upload.ts";
import { checkUpload } from "./upload-check.ts";

const args = process.argv.slice(2);
/** Arguments with which wrangler deploys nothing. */
const ASKS_ONLY = /^(?:-h|--help|-v|--version)$/;

const taken = takenByNpm("npm run deploy");
if (taken) {
  console.error(`Not deployed: ${taken}`);
  process.exit(1);
}

if (!args.some((arg) => ASKS_ONLY.test(arg))) {
  try {
    const upload = await readUpload(args);
    const notes = checkUpload(upload);
    const deployed = readDeployed(upload.worker, args) ?? [];
    const after = bindingsAfter(upload, deployed);
    const { writtenPolicies } = parseConfig(variablesOf(after));
    const live = await livePolicies(process.env.TURNPIKE_URL, deployed, writtenPolicies);
    notes.push(...forgotten(deployed, after, live.isLive), ...live.notes);
    for (const note of notes) console.warn(`Note: ${note}.`);
  } catch (error) {
    console.error(`Not deployed: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

spawn("wrangler", ["deploy", ...args], { stdio: "inherit" }).on("exit", (code) => {
  process.exitCode = code ?? 1;
});
