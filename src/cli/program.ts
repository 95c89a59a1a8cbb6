/** All commands of `npx turnpike`, and how errors become exit codes. */
import { createRequire } from "node:module";
import { debuglog } from "node:util";
import { Command, CommanderError } from "commander";
import { InvalidError } from "../limit/misuse.ts";
import { conformanceCommand } from "./conformance/command.ts";
import { changeCommands } from "./operate/changes.ts";
import { keyCommands } from "./operate/keys.ts";
import { policiesCommand } from "./operate/policies.ts";
import { ringCommand } from "./operate/ring.ts";
import { topCommand } from "./operate/top.ts";
import { replayCommand } from "./replay/command.ts";
import { suggestCommand } from "./suggest/command.ts";
import { oneLine, UserError } from "./user-error.ts";
import { validateCommand } from "./validate/command.ts";

/** The exit code of a command that was typed wrongly, or that could not run. */
const FAILED = 2;
const debug = debuglog("turnpike");

/**
 * Runs one command. Its exit code is in `process.exitCode`.
 *
 * @param args what was typed behind `turnpike`
 */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : FAILED;
    } else {
      process.stderr.write(`turnpike: ${said(error)}\n`);
      process.exitCode = FAILED;
    }
  }
}

function program(): Command {
  const program = new Command("turnpike")
    .description("Tries rate limits on your logs, and operates a running Turnpike.")
    .version(createRequire(import.meta.url)("../../package.json").version)
    .addCommand(replayCommand())
    .addCommand(suggestCommand())
    .addCommand(validateCommand())
    .addCommand(conformanceCommand());
  for (const command of [...keyCommands(), ...changeCommands()]) program.addCommand(command);
  program.addCommand(topCommand()).addCommand(policiesCommand()).addCommand(ringCommand());
  failInOneLine(program, "turnpike");
  return program;
}

/** Has a mistake in what was typed thrown instead of ending the process, and told as all others. */
function failInOneLine(command: Command, path: string): void {
  command.exitOverride().configureOutput({
    outputError: (text, write) => {
      const mistake = text
        .replace(/^error: /, "")
        .replace(/\.?\s*$/, "")
        .replaceAll("\n", " ")
        // As of `--for 1 hour`.
        .replace(/^too many arguments.*/, "$&. A duration is written as 1h, and a blank in quotes");
      write(`turnpike: ${mistake}; say ${path} --help\n`);
    },
  });
  for (const each of command.commands) failInOneLine(each, `${path} ${each.name()}`);
}

/** Says in a line what went wrong; of a mistake of our own, also how to see where it is. */
function said(error: unknown): string {
  if (error instanceof UserError) return error.message;
  const text = oneLine(error instanceof Error ? error.message : String(error));
  // The system says such as "EACCES: permission denied".
  const isOfSystem = error instanceof Error && "syscall" in error;
  if (error instanceof InvalidError || isOfSystem) return text;
  debug("%o", error);
  return `${text}: a mistake in turnpike itself, which NODE_DEBUG=turnpike shows whole`;
}
