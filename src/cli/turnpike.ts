#!/usr/bin/env node
/** `npx turnpike`: the command line. */
import { FAILED, run } from "./program.ts";

// The reader of a pipe, such as `head`, has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : FAILED);
});
process.on("SIGINT", () => {
  process.stderr.write("\nturnpike: stopped by Ctrl-C; start it again to see the whole\n");
  process.exit(FAILED);
});

await run(process.argv.slice(2));
