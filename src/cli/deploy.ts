/**
 * `npm run deploy`: checks the upload as the Worker would at its start, and then deploys. It says
 * which counts the deployment forgets, and which policies stay live.
 *
 * All arguments go to `wrangler deploy`. With `--dry-run` among them, nothing is uploaded.
 */
import { parseConfig } from "../config.ts";
import { readDeployed } from "./deployed.ts";
import { forgotten } from "./forgotten.ts";
import { livePolicies } from "./live-policies.ts";
import { bindingsAfter, readUpload, variablesOf } from "./upload.ts";
import { checkUpload } from "./upload-check.ts";
import { argumentsOf, runWrangler } from "./wrangler.ts";

/** Arguments with which wrangler deploys nothing. */
const ASKS_ONLY = /^(?:-h|--help|-v|--version)$/;

try {
  const args = argumentsOf("npm run deploy");
  if (!args.some((arg) => ASKS_ONLY.test(arg))) {
    for (const note of await notesOn(args)) console.warn(`Note: ${note}.`);
  }
  runWrangler(["deploy", ...args]);
} catch (error) {
  console.error(`Not deployed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

/** @throws {Error} if the deployment would not start, or wrangler refuses it */
async function notesOn(args: readonly string[]): Promise<string[]> {
  const upload = await readUpload(args);
  const notes = checkUpload(upload);
  const deployed = readDeployed(upload.worker, args) ?? [];
  const after = bindingsAfter(upload, deployed);
  const { writtenPolicies } = parseConfig(variablesOf(after));
  const live = await livePolicies(process.env.TURNPIKE_URL, deployed, writtenPolicies);
  return [...notes, ...forgotten(deployed, after, live.isLive), ...live.notes];
}
