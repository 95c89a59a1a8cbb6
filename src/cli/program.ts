/** All commands of `npx turnpike`, and how errors become exit codes. */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { InvalidError } from "../limit/misuse.ts";
import { conformanceCommand } from "./conformance/command.ts";
import { keyCommands } from "./operate/keys.ts";
import { policiesCommand } from "./operate/policies.ts";
import { ringCommand } from "./operate/ring.ts";
import { topCommand } from "./operate/top.ts";
import { replayCommand } from "./replay/command.ts";
import { suggestCommand } from "./suggest/command.ts";
import { UserError } from "./user-error.ts";
import { validateCommand } from "./validate/command.ts";

/** The exit code of a command that was typed wrongly, or that could not run. */
const FAILED = 2;

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
    } else if (error instanceof UserError || error instanceof InvalidError || isOfSystem(error)) {
      process.stderr.write(`turnpike: ${error.message}\n`);
      process.exitCode = FAILED;
    } else {
      throw error;
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
  for (const command of keyCommands()) program.addCommand(command);
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
        .trimEnd()
        .replaceAll("\n", " ");
      write(`turnpike: ${mistake}; say ${path} --help\n`);
    },
  });
  for (const each of command.commands) failInOneLine(each, `${path} ${each.name()}`);
}

/** Is it what the system says of a file or a network, such as "EACCES: permission denied"? */
function isOfSystem(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
