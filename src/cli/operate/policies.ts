/**
 * `turnpike policies`: shows the policies of a running Worker, and changes them without a
 * deployment.
 */
import { userInfo } from "node:os";
import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { count, print, tableOf } from "../text.ts";
import { UserError } from "../user-error.ts";
import { type Call, call, made, RefusedError } from "./client.ts";
import { answered, type WorkerOptions, withWorker } from "./worker-command.ts";
import {
  differences,
  fieldsOf,
  type InForce,
  nameOf,
  policiesInForce,
  readPolicies,
  type Written,
} from "./written-policies.ts";

const PATH = "/policies";
const HISTORY: Call = { method: "GET", path: `${PATH}/history` };
/** The exit code if policies differ, or if a change was not wanted. */
const DIFFERS = 1;
const MAX_BY_CHARS = 64;
const LOST_RACE = 412;

interface History {
  /** The latest first. */
  versions: InForce[];
  deployed: Written[];
}

interface FileOptions extends WorkerOptions {
  env?: string;
}

interface ChangeOptions extends FileOptions {
  by?: string;
  yes?: true;
}

const HELP = `
Examples:
  turnpike policies diff                         what wrangler.toml would change
  turnpike policies get --json > policies.json   to edit them, and then:
  turnpike policies apply policies.json --by ann
  turnpike policies history
  turnpike policies rollback 3                   puts version 3 again; 0 is what was deployed

A file is a configuration of wrangler, a list of policies in JSON, or [[policies]] in TOML.
"diff" ends with exit code 1 if there is a difference, "apply" and "rollback" if you say no.`;

export function policiesCommand(): Command {
  const policies = new Command("policies")
    .description("shows the policies of a running Worker, and changes them without a deployment")
    .addHelpText("after", HELP);
  policies.addCommand(
    withWorker(new Command("get").description("shows the policies in force")).action(
      async (options: WorkerOptions) => {
        await answered(options, { method: "GET", path: PATH }, inForceText);
      },
    ),
  );
  policies.addCommand(
    withFile("diff", "says what a file would change (exit code 1 if anything)").action(diff),
  );
  policies.addCommand(
    changing(withFile("apply", "puts the policies of a file in force")).action(apply),
  );
  policies.addCommand(
    withWorker(new Command("history").description("shows the last versions")).action(
      async (options: WorkerOptions) => {
        await answered(options, HISTORY, historyText);
      },
    ),
  );
  policies.addCommand(
    changing(withWorker(new Command("rollback")))
      .description("puts an earlier version in force again")
      .argument("<version>", "its number in the history; 0 is what was deployed")
      .action(rollback),
  );
  return policies;
}

function withFile(name: string, description: string): Command {
  return withWorker(new Command(name).description(description))
    .argument("[file]", "the file with the policies (default: wrangler.toml)")
    .option("--env <name>", "an environment of the configuration");
}

function changing(command: Command): Command {
  return command
    .option("--by <name>", "who changes them, for the history (default: your user name)")
    .option("--yes", "does not ask");
}

async function diff(given: string | undefined, options: FileOptions): Promise<void> {
  const { file, policies } = await readPolicies(given, options.env);
  const running = await policiesInForce(options.url);
  const found = differences(running.policies, policies);
  const title = `${versionText(running)}, and ${file}:`;
  const text = found.length > 0 ? [title, ...found].join("\n") : `${title} no difference`;
  print(options, { version: running.version, differences: found }, text);
  if (found.length > 0) process.exitCode = DIFFERS;
}

async function apply(given: string | undefined, options: ChangeOptions): Promise<void> {
  const { policies } = await readPolicies(given, options.env);
  await change(await policiesInForce(options.url), policies, options);
}

async function rollback(given: string, options: ChangeOptions): Promise<void> {
  const running = await policiesInForce(options.url);
  const { versions, deployed } = (await call(options.url, HISTORY)) as History;
  const found = versions.find(({ version }) => String(version) === given);
  if (given === "0" || found?.source === "deployment") {
    await change(running, deployed, options, true);
  } else if (found) await change(running, found.policies, options);
  else {
    const known = versions.map(({ version }) => version).join(", ");
    throw new UserError(`there is no version ${given}: the history has ${known || "none"}, and 0`);
  }
}

/**
 * Shows what would change, asks, and changes it.
 *
 * @param isReturn whether these are the policies of the deployment, which then follow it again
 */
async function change(
  running: InForce,
  to: Written[],
  options: ChangeOptions,
  isReturn = false,
): Promise<void> {
  const found = made(() => differences(running.policies, to));
  if (isReturn && running.source === "live") {
    found.push("from then on, each deployment puts its own policies in force");
  }
  if (found.length === 0) {
    print(options, running, `${versionText(running)}: no difference, nothing changed`);
    return;
  }
  // Standard output is for the answer.
  process.stderr.write(`${[`${versionText(running)}, and then:`, ...found].join("\n")}\n`);
  if (!options.yes && !(await isWanted())) {
    process.stderr.write("nothing changed\n");
    process.exitCode = DIFFERS;
    return;
  }
  const by = (options.by ?? userName()).slice(0, MAX_BY_CHARS);
  const changed = await put(running.version, isReturn ? undefined : to, by, options);
  print(options, changed, `now ${versionText(changed)}`);
}

/** @param policies undefined for those of the deployment */
async function put(
  ifVersion: number,
  policies: Written[] | undefined,
  by: string,
  options: WorkerOptions,
): Promise<InForce> {
  try {
    const what = policies
      ? ({ method: "PUT", path: PATH, body: { policies, by } } as const)
      : ({ method: "DELETE", path: `${PATH}?${new URLSearchParams({ by })}` } as const);
    return (await call(options.url, { ...what, ifVersion })) as InForce;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== LOST_RACE) throw error;
    const now = versionText(await policiesInForce(options.url));
    throw new UserError(
      `the policies have changed meanwhile: ${now}. Nothing was changed: say policies diff, and try again`,
    );
  }
}

/** @throws {UserError} if there is nobody to ask */
async function isWanted(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UserError("nothing changed: write --yes to change them without being asked");
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // The terminal hands Ctrl-C to the question.
  terminal.on("SIGINT", () => process.emit("SIGINT"));
  try {
    return /^y(?:es)?$/i.test((await terminal.question("Change them? [y/N] ")).trim());
  } finally {
    terminal.close();
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a user that has no name.
    return "unknown";
  }
}

/** `version 3, live, by ann at 2026-11-26T12:00:00.000Z` */
function versionText({ version, source, by, at }: InForce): string {
  const who = by === null ? "" : `, by ${by}`;
  return `version ${version}, ${source}${who}${at === null ? "" : ` at ${at}`}`;
}

function inForceText(inForce: InForce): string {
  const rows = inForce.policies.map((policy) => {
    const { limit, window, ...others } = policy;
    return [nameOf(policy), limit, window, fieldsOf(others).join(", ")];
  });
  return `${versionText(inForce)}\n${tableOf(["policy", "limit", "window", "other fields"], rows)}`;
}

function historyText({ versions }: Pick<History, "versions">): string {
  if (versions.length === 0) return "never changed: those of the deployment are in force";
  const rows = versions.map(({ version, source, by, at, policies }, place) => {
    const before = versions[place + 1]?.policies;
    const what = before
      ? differences(before, policies).join("\n")
      : count(policies.length, "policy", "policies");
    return [version, source, by, at, what];
  });
  return tableOf(["version", "source", "by", "at", "what changed"], rows);
}
