/** `turnpike conformance`: puts the endpoint of any limiter through the vectors. */
import { randomUUID } from "node:crypto";
import { Command, Option } from "commander";
import { ALGORITHMS, type AlgorithmName } from "../../limit/algorithms.ts";
import { parseJson } from "../../limit/json.ts";
import type { VectorCheck, VectorDecision, VectorReport } from "../../testing/index.ts";
import { call, fetched, parsedUrl } from "../operate/client.ts";
import { type WorkerOptions, withWorker } from "../operate/worker-command.ts";
import { count, print, tableOf } from "../text.ts";
import { UserError } from "../user-error.ts";
import { decisionIn, type Mapping, readMapping, readsJson, requestFor } from "./mapping.ts";

/** The exit code if something differs. */
const DIFFERS = 1;
const MAX_SHOWN = 20;

const HELP = `
A mapping says how a check is sent and where the answer stands, for example:
  { "path": "/limit", "body": { "id": "{key}", "max": "{limit}" },
    "allowed": "success", "remaining": "header:X-RateLimit-Remaining" }
The fields of a check are key, limit, window, algorithm, cost, burst, start and blockFor.
Without "allowed", the statuses 429 and 503 are denials. Without --mapping, it asks Turnpike's API.

A server's clock cannot be set, so only what a scenario asks at its first instant is run, and no
time is compared. A scenario that differs is tried twice more, since time passes between its steps.
Exit code 1 if something differs.`;

export function conformanceCommand(): Command {
  return withWorker(new Command("conformance"))
    .description("puts the endpoint of any limiter through the published vectors")
    .option("--mapping <file>", "how it is asked, in JSON (default: as Turnpike's API)")
    .addOption(
      new Option("--algorithm <names...>", "only these (default: all)").choices(
        Object.keys(ALGORITHMS),
      ),
    )
    .addHelpText("after", HELP)
    .action(run);
}

interface Options extends WorkerOptions {
  mapping?: string;
  algorithm?: AlgorithmName[];
}

async function run({ url, mapping: file, algorithm, json }: Options): Promise<void> {
  const mapping = file === undefined ? undefined : readMapping(file);
  const { href } = parsedUrl(url);
  // What an earlier run has spent must not count.
  const prefix = randomUUID();
  const check = (asked: VectorCheck) =>
    mapping
      ? ask(href, mapping, { ...asked, key: `${prefix} ${asked.key}` })
      : askTurnpike(url, { ...asked, key: `${prefix} ${asked.key}` });
  // Loaded here, since the vectors would hold up every other command.
  const { runVectors } = await import("../../testing/index.ts");
  const report = await runVectors(check, algorithm ? { algorithms: algorithm } : {});
  print({ json }, report, printed(report));
  if (report.differences.length > 0) process.exitCode = DIFFERS;
}

async function askTurnpike(url: string, { atMs: _, ...body }: VectorCheck) {
  const answer = (await call(url, { method: "POST", path: "/check", body })) as VectorDecision;
  if (typeof answer.allowed === "boolean") return answer;
  throw new UserError(`${url} answers JSON of another kind: is it a Turnpike?`);
}

async function ask(url: string, mapping: Mapping, check: VectorCheck): Promise<VectorDecision> {
  const request = requestFor(url, mapping, check);
  const { text, ...response } = await fetched(request);
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    throw new UserError(`${request.url} answers ${response.status}: ${text.slice(0, 200)}`);
  }
  const json = parseJson(text);
  // The answer may be in headers and status alone.
  if (json === undefined && response.status < 300 && readsJson(mapping)) {
    throw new UserError(
      `${request.url} answers no JSON, in which the mapping looks for the answer`,
    );
  }
  return decisionIn(mapping, response, json);
}

function printed({ run, left, differences }: VectorReport): string {
  const summary = `${count(run, "step")} run, ${differences.length} differ; ${left} left out, which need a clock or another call`;
  if (differences.length === 0) return summary;
  const head = ["algorithm", "scenario", "step", "field", "expected", "got"];
  const rows = differences
    .slice(0, MAX_SHOWN)
    .map(({ algorithm, scenario, step, field, expected, got }) => [
      ...[algorithm, scenario, step, field, expected, got].map(String),
    ]);
  const more = differences.length - MAX_SHOWN;
  return [summary, tableOf(head, rows), ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}
