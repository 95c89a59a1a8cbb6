/** `turnpike suggest`: policies to start with, as TOML to paste. */
import { Command } from "commander";
import { formatDuration } from "../../limit/duration.ts";
import { parseLimiterConfig } from "../../limiter-config.ts";
import { Clients } from "../replay/clients.ts";
import { type LogOptions, withLogOptions, withProgress } from "../replay/command.ts";
import { noteOn } from "../replay/print.ts";
import { type Lines, readRecords } from "../replay/records.ts";
import { count, print, visible } from "../text.ts";
import { type Suggestion, Survey } from "./suggest.ts";

export function suggestCommand(): Command {
  return withLogOptions(new Command("suggest"))
    .description("says which policies to start with, as TOML to paste")
    .option("--json", "print the suggestions as JSON")
    .addHelpText(
      "after",
      "\nAll suggestions begin in shadow: they deny nobody until you take that line out.",
    )
    .action(run);
}

async function run(files: string[], { json, ...options }: LogOptions & { json?: true }) {
  const clients = new Clients(parseLimiterConfig({}).ipv6Prefix);
  const survey = new Survey(clients);
  const lines = await withProgress(files, (onRead) =>
    readRecords(files, clients, { ...options, wantsValues: false, onRead }, (record) =>
      survey.take(record),
    ),
  );
  const suggestions = survey.suggestions();
  print({ json }, { lines, suggestions }, asToml(lines, suggestions));
}

function asToml(lines: Lines, suggestions: readonly Suggestion[]): string {
  const head = [
    `From ${count(lines.read, "line")}, ${lines.from} to ${lines.to}.`,
    ...noteOn(lines),
    "In shadow a policy only reports what it would deny. Take that line out when you trust it.",
    "Put these tables at the end of wrangler.toml, and take your own POLICIES out, whether it is",
    "[[vars.POLICIES]] or a line of [vars]. To try them first, save them as new.toml, and say:",
    "turnpike replay access.log --config new.toml, or turnpike policies diff new.toml",
  ];
  return [comment(head), ...suggestions.map(policyToml)].join("\n");
}

function policyToml(suggestion: Suggestion): string {
  const { name, path, methods, except, limit, windowMs, isLogin, requests } = suggestion;
  const { typical, refused, neediest } = suggestion;
  const window = formatDuration(windowMs);
  const what = isLogin ? "failed requests" : "requests";
  const named = neediest.map(({ client, peak }) => `${client} (${peak})`).join(", ");
  const fields = [
    `name = ${JSON.stringify(name)}`,
    path !== undefined && `path = ${JSON.stringify(path)}`,
    methods && `method = ${JSON.stringify(methods)}`,
    except.length > 0 && `except = ${JSON.stringify(except)}`,
    `limit = ${limit}`,
    `window = "${window}"`,
    isLogin && 'charge = "failure"',
    "shadow = true",
  ];
  return [
    "",
    "[[vars.POLICIES]]",
    comment([
      `${count(requests, "request")}. The most ${what} of a client in ${window}: ` +
        `p50 ${typical.p50}, p99 ${typical.p99}, p99.9 ${typical.p999}.`,
      refused === 0
        ? "Nobody in this log would have been refused."
        : `${count(refused, "client")} would have been refused, the busiest ${named}.`,
    ]),
    ...fields.filter((field) => field !== false && field !== undefined),
  ].join("\n");
}

function comment(lines: readonly string[]): string {
  return lines.map((line) => `# ${visible(line)}`).join("\n");
}
