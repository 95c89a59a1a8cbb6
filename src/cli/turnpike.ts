#!/usr/bin/env node
/** `npx turnpike`: the command line. Loads the rest once it can be stopped. */

const FAILED = 2;

process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  // Where the reader of a pipe has gone, as `head` does, this ends as silently as `git log` would.
  if (code !== "EPIPE") process.stderr.write(`turnpike: standard output: ${message}\n`);
  process.exit(FAILED);
});
process.stderr.on("error", () => process.exit(FAILED));
for (const [signal, what] of [
  ["SIGINT", "Ctrl-C"],
  ["SIGTERM", "SIGTERM"],
] as const) {
  process.on(signal, () => {
    // By then a progress bar has left the terminal as it was.
    process.once("exit", () => {
      process.stderr.write(`\nturnpike: stopped by ${what}; start it again to see the whole\n`);
    });
    process.exit(FAILED);
  });
}

const { run } = await import("./program.ts");
await run(process.argv.slice(2));

export {};
