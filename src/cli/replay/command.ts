/** `turnpike replay`: what policies would have done to the requests of a log. */
import { writeFileSync } from "node:fs";
import { Command, Option } from "commander";
import { withPolicyOptions } from "../options.ts";
import { type Configured, policiesIn, policiesOf, type TriedOptions } from "../policies.ts";
import { print } from "../text.ts";
import { named } from "../user-error.ts";
import { STDIN, totalBytes } from "./input.ts";
import { type FieldNames, parseFieldNames } from "./json-lines.ts";
import { FORMATS, type FormatName } from "./log-format.ts";
import { printed } from "./print.ts";
import { replay } from "./run.ts";

const EXAMPLES = `
Examples:
  turnpike replay access.log                          the policies of wrangler.toml, over this log
  turnpike replay access.log --limit 60 --window 1m   one policy for each address
  turnpike replay access.log.*.gz --limit 60 --against limit=60,algorithm=token-bucket
  zcat log.gz | turnpike replay - --json
  turnpike replay app.jsonl --fields ip=client.addr,time=ts,path=url

Reads the common and the combined format, also with the host in front, and JSON lines as nginx,
Caddy and Cloudflare Logpush write them. Lines may be up to a minute out of order.
"limit for 1%" is the least limit that would deny at most 1 % of the policy's clients.
A burst keeps its ratio to the limit. With --limit and without --window, the window is 60s.`;

/** Options that say which lines a log has. */
export interface LogOptions {
  format?: FormatName;
  fields?: FieldNames;
}

interface Options extends TriedOptions, LogOptions {
  config?: string;
  env?: string;
  against?: string;
  json?: true;
  html?: string;
  decisions?: string;
}

export function replayCommand(): Command {
  const command = withLogOptions(new Command("replay"))
    .description("says what policies would have done to the requests of a log")
    .option("--config <file>", "the configuration with the policies (default: wrangler.toml)")
    .option("--env <name>", "an environment of the configuration");
  return withPolicyOptions(command)
    .option("--path <pattern>", 'requests that it counts, such as "/api/*"')
    .option("--against <policies>", "compare with a second configuration, or limit=10,window=60s")
    .option("--json", "print the report as JSON")
    .option("--html <file>", "write the report as a page with charts, too")
    .option("--decisions <file>", "write the decision on each request, a line of JSON each")
    .addHelpText("after", EXAMPLES)
    .action(run);
}

/** Adds the log's files and the options that say how to read them. */
export function withLogOptions(command: Command): Command {
  return command
    .argument("<log...>", `access logs, also packed as .gz or .zst; ${STDIN} is standard input`)
    .addOption(
      new Option("--format <name>", "the log's format (default: found out)").choices(FORMATS),
    )
    .addOption(
      new Option("--fields <pairs>", "names in a JSON log: ip=client.addr,time=ts").argParser(
        parseFieldNames,
      ),
    );
}

async function run(files: string[], options: Options): Promise<void> {
  const lists: Configured[] = [await policiesOf(options, options.config, options.env)];
  if (options.against !== undefined) lists.push(await policiesIn(options.against, options.env));
  const { decisions, format, fields } = options;
  const result = await withProgress(files, (onRead) =>
    replay(files, lists, { decisions, format, fields, onRead }),
  );
  const { html: file } = options;
  if (file !== undefined) {
    const { htmlOf } = await import("./html.ts");
    named(`--html ${file}`, () => writeFileSync(file, htmlOf(result)));
  }
  print(options, result, printed(result));
}

/** Shows how much of the files has been read, on a terminal that can move its cursor. */
export async function withProgress<Value>(
  files: readonly string[],
  work: (onRead: (bytes: number) => void) => Promise<Value>,
): Promise<Value> {
  const total = totalBytes(files);
  const hasCursor = process.stderr.isTTY && process.env.TERM !== "dumb";
  if (total === undefined || !hasCursor) return work(() => {});
  const { SingleBar } = await import("cli-progress");
  const bar = new SingleBar({
    format: "{bar} {percentage} % of {megabytes} MB, {eta_formatted} left",
    clearOnComplete: true,
    stream: process.stderr,
    // It would take SIGTERM for its own, and the process would go on.
    gracefulExit: false,
  });
  // It turns the terminal's line wrapping off.
  const stop = () => bar.stop();
  process.once("exit", stop);
  bar.start(total, 0, { megabytes: Math.ceil(total / 1e6) });
  try {
    return await work((bytes) => bar.increment(bytes));
  } finally {
    process.off("exit", stop);
    stop();
  }
}
