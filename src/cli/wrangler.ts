/** What `npm start` and `npm run deploy` share: their arguments, and wrangler, which gets them. */
import { spawn } from "node:child_process";

/** Options of wrangler that npm takes for its own where no `--` stands before them. */
const TAKEN_BY_NPM = ["dry-run", "env", "config", "name", "port", "var", "keep-vars", "cwd"];

/**
 * Returns what stands behind a command, as wrangler is to get it.
 *
 * @param command such as `npm start`
 * @throws {Error} if npm has kept an option for itself
 */
export function argumentsOf(command: string): string[] {
  const isTaken = (name: string) => `npm_config_${name.replaceAll("-", "_")}` in process.env;
  const taken = TAKEN_BY_NPM.find(isTaken);
  if (taken) throw new Error(`npm keeps --${taken} for itself; write ${command} -- --${taken}`);
  return process.argv.slice(2);
}

/** Runs wrangler, and ends as it does. */
export function runWrangler(args: readonly string[]): void {
  const wrangler = spawn("wrangler", args, { stdio: "inherit" });
  wrangler.on("exit", (code) => {
    process.exitCode = code ?? 1;
  });
  // It ends first, so that nothing of it is printed behind the next prompt.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => wrangler.kill());
}
