#!/usr/bin/env node
/** `npx turnpike`: the command line. */
import { Command, CommanderError } from "commander";
import { InvalidError } from "../limit/misuse.ts";
import { replayCommand } from "./replay/command.ts";
import { suggestCommand } from "./suggest/command.ts";
import { UserError } from "./user-error.ts";

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
  .description("Tries rate limits on your logs before they meet your users.")
  .addCommand(replayCommand())
  .addCommand(suggestCommand())
  .showHelpAfterError("Say turnpike --help, or turnpike COMMAND --help.")
  .exitOverride();
for (const command of program.commands) command.exitOverride();

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
