#!/usr/bin/env node
/** `npx turnpike`: the command line. Loads the rest once it can be stopped. */

const FAILED = 2;

// The reader of a pipe, such as `head`, has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : FAILED);
});
process.on("SIGINT", () => {
  process.stderr.write("\nturnpike: stopped by Ctrl-C; start it again to see the whole\n");
  process.exit(FAILED);
});

const { run } = await import("./program.ts");
await run(process.argv.slice(2));

export {};
