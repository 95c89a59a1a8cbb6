/** `turnpike top`: the keys with the most decisions, by what the limiter counts of itself. */
import { setTimeout as wait } from "node:timers/promises";
import { Command, Option } from "commander";
import { parseDuration } from "../../limit/duration.ts";
import { whole } from "../options.ts";
import { print, tableOf } from "../text.ts";
import { UserError } from "../user-error.ts";
import { call, made } from "./client.ts";
import { type WorkerOptions, withWorker } from "./worker-command.ts";

const COLUMNS = ["requests", "denied"] as const;
/** Tuples that are asked for: a key has one for each outcome and set of policies. */
const MAX_ENTRIES = 1_000;
const LEAST_PAUSE_MS = 1_000;
/** Clears a terminal, and begins at its top. */
const CLEAR = "\u001b[2J\u001b[H";

const HELP = `
Columns:
  key              a client, called as WATCH in wrangler.toml says: by prefix, in full, or by a hash;
                   in full as the other commands take it, so several parts are a list
  policies         those that decided its requests: of a denied one, those that denied it
  requests         all that were counted
  denied           those of them that were refused
  would be denied  those that passed only because a policy is in shadow`;

interface TopOptions extends WorkerOptions {
  by: (typeof COLUMNS)[number];
  last: string;
  number: number;
  every?: string;
}

/** What one key did. */
interface Row {
  key: string;
  /** Those that decided its requests. */
  policies: string[];
  requests: number;
  denied: number;
  /** Would have been denied. */
  shadow: number;
}

interface Top {
  total: number;
  entries: { dimensions: { client: string; outcome: string; policy: string }; count: number }[];
}

export function topCommand(): Command {
  return withWorker(new Command("top").description("shows the keys with the most requests"))
    .addOption(
      new Option("--by <column>", "what they are sorted by").choices(COLUMNS).default(COLUMNS[0]),
    )
    .option("--last <duration>", "how far back", "5m")
    .option("--number <rows>", "how many", whole("--number", 1), 20)
    .option("--every <duration>", "asks again and again, such as every 2s, until Ctrl-C")
    .addHelpText("after", HELP)
    .action(run);
}

async function run({ every, ...options }: TopOptions): Promise<void> {
  const pauseMs = every === undefined ? undefined : pauseOf(every);
  // This is how one ends it.
  if (pauseMs !== undefined) process.prependOnceListener("SIGINT", () => process.exit(0));
  for (;;) {
    const rows = await rowsOf(options);
    const clear = pauseMs !== undefined && !options.json && process.stdout.isTTY ? CLEAR : "";
    if (pauseMs !== undefined && options.json) {
      // A line for each answer, so that a program can read them one by one.
      process.stdout.write(`${JSON.stringify(rows)}\n`);
    } else print(options, rows, clear + textOf(rows, options));
    if (pauseMs === undefined) return;
    await wait(pauseMs);
  }
}

function pauseOf(every: string): number {
  const ms = parseDuration(every);
  if (ms !== undefined && ms >= LEAST_PAUSE_MS) return ms;
  throw new UserError(`--every must be a duration of at least 1s, such as "2s", got ${every}`);
}

async function rowsOf({ url, by, last, number }: TopOptions): Promise<Row[]> {
  const query = new URLSearchParams({
    name: "turnpike-clients",
    by: "client,outcome,policy",
    n: String(MAX_ENTRIES),
    last,
  });
  const top = (await call(url, { method: "GET", path: `/events/top?${query}` })) as Top;
  return made(() => rowsIn(top).filter((row) => row[by] > 0))
    .sort((a, b) => b[by] - a[by])
    .slice(0, number);
}

/** One row for each key, whatever became of its requests. */
function rowsIn({ entries }: Top): Row[] {
  const rows = new Map<string, Row>();
  for (const { dimensions, count } of entries) {
    const { client: key, policy, outcome } = dimensions;
    const row = rows.get(key) ?? { key, policies: [], requests: 0, denied: 0, shadow: 0 };
    rows.set(key, row);
    row.policies = [...new Set([...row.policies, ...policy.split(", ")])];
    row.requests += count;
    if (outcome === "denied") row.denied += count;
    if (outcome === "shadow") row.shadow += count;
  }
  return [...rows.values()];
}

function textOf(rows: readonly Row[], { by, last }: TopOptions): string {
  if (rows.length === 0) {
    return `no ${by === "denied" ? "denial" : "request"} in the last ${last}, or WATCH is off`;
  }
  return tableOf(
    ["key", "policies", "requests", "denied", "would be denied"],
    rows.map(({ key, policies, requests, denied, shadow }) => [
      ...[key, policies.join(", "), requests, denied, shadow],
    ]),
  );
}
