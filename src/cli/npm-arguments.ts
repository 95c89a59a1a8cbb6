/** Arguments that npm keeps for itself, so that a command never sees them. */

/** Options of wrangler that npm takes for its own where no `--` stands before them. */
const TAKEN_BY_NPM = ["dry-run", "env", "config", "name", "port", "var", "keep-vars", "cwd"];

/**
 * Says which option was taken, and what to write.
 *
 * @param command such as `npm start`
 * @returns undefined if none was
 */
export function takenByNpm(command: string): string | undefined {
  const isTaken = (name: string) => `npm_config_${name.replaceAll("-", "_")}` in process.env;
  const taken = TAKEN_BY_NPM.find(isTaken);
  return taken && `npm keeps --${taken} for itself; write ${command} -- --${taken}`;
}
