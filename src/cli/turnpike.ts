#!/usr/bin/env node
/** `npx turnpike`: the command line. */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { InvalidError } from "../limit/misuse.ts";
import { conformanceCommand } from "./conformance/command.ts";
import { operateCommands } from "./operate/commands.ts";
import { replayCommand } from "./replay/command.ts";
import { suggestCommand } from "./suggest/command.ts";
import { UserError } from "./user-error.ts";
import { validateCommand } from "./validate/command.ts";

/** The exit code of a command that was typed wrongly, or that could not run. */
const FAILED = 2;

// The reader of a pipe, such as `head`, has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : FAILED);
});
process.on("SIGINT", () => {
  process.stderr.write("\nstopped\n");
  process.exit(130);
});

const program = new Command("turnpike")
  .description("Tries rate limits on your logs, and operates a running Turnpike.")
  .version(createRequire(import.meta.url)("../../package.json").version)
  .addCommand(replayCommand())
  .addCommand(suggestCommand())
  .addCommand(validateCommand())
  .addCommand(conformanceCommand())
  .showHelpAfterError("Say turnpike --help, or turnpike COMMAND --help.");
for (const command of operateCommands()) program.addCommand(command);
throwInsteadOfExit(program);

function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) throwInsteadOfExit(each);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : FAILED;
  } else if (error instanceof UserError || error instanceof InvalidError) {
    process.stderr.write(`turnpike: ${error.message}\n`);
    process.exitCode = FAILED;
  } else {
    throw error;
  }
}
