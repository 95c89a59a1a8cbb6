/**
 * `npm run deploy`: checks what would be uploaded as the Worker would at its start, says which counts
 * the deployment forgets, then deploys.
 *
 * All arguments go to `wrangler deploy`. With `--dry-run` among them nothing is uploaded.
 */
import { spawn } from "node:child_process";
import { readDeployed } from "./deployed.ts";
import { forgotten } from "./forgotten.ts";
import { bindingsAfter, readUpload } from "./upload.ts";
import { checkUpload } from "./upload-check.ts";

const args = process.argv.slice(2);
/** These deploy nothing. */
const ASKS_ONLY = /^(?:-h|--help|-v|--version)$/;

if (!args.some((arg) => ASKS_ONLY.test(arg))) {
  try {
    const upload = await readUpload(args);
    const notes = checkUpload(upload);
    const deployed = readDeployed(upload.worker, args) ?? [];
    notes.push(...forgotten(deployed, bindingsAfter(upload, deployed)));
    for (const note of notes) console.warn(`Note: ${note}.`);
  } catch (error) {
    console.error(`Not deployed: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

spawn("wrangler", ["deploy", ...args], { stdio: "inherit" }).on("exit", (code) => {
  process.exitCode = code ?? 1;
});
