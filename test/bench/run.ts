/**
 * `npm run bench`: every contender under every workload, as one table each and one chart.
 *
 * Ratios are what counts. Requests per second are those of this machine, shared with the load
 * generator, and a deployed Worker has others.
 */
import { writeFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { type Arguments, readArguments, USAGE } from "./arguments.ts";
import { type BatchFigures, batches } from "./batches.ts";
import { chart, type Results } from "./chart.ts";
import { contendersOf } from "./contenders.ts";
import { LATENCY_CONTENDERS, type LatencyRow, latencies } from "./latency.ts";
import { batchTable, latencyTable, machine, table } from "./report.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

interface Figures {
  results: Results;
  latency: LatencyRow[];
  batches: BatchFigures | undefined;
}

const CONNECTIONS = 64;
/** Between two lines of progress where nobody watches. */
const PROGRESS_MS = 10_000;

async function measureAll(options: Arguments): Promise<Figures> {
  const { work, rounds, seconds, warmUpSeconds, clients, primingSeconds } = options;
  const load = { connections: CONNECTIONS, warmUpSeconds, seconds };
  const known = workloads(clients);
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total}, {eta_formatted} left · {what}",
    clearOnComplete: true,
    noTTYOutput: true,
    notTTYSchedule: PROGRESS_MS,
  });
  const figures: Figures = { results: {}, latency: [], batches: undefined };
  bar.start(stepsOf(options), 0, { what: "" });
  try {
    for (const name of work) {
      const onStep = (step: string) => bar.increment({ what: `${name}: ${step}` });
      if (name === "latency") {
        figures.latency = await latencies({ workload: known.a, load, rounds, onStep });
      } else if (name === "batches") {
        onStep("all rounds");
        figures.batches = await batches(rounds, options.batches);
      } else {
        const workload = known[name];
        const contenders = contendersOf(name);
        const plan = { contenders, workload, load, rounds, primingSeconds, onStep };
        figures.results[workload.title] = await run(plan);
      }
    }
  } finally {
    bar.stop();
  }
  return figures;
}

function stepsOf({ work, rounds }: Arguments): number {
  const contenders = work.map((name) => {
    if (name === "batches") return 0;
    return name === "latency" ? LATENCY_CONTENDERS.length : contendersOf(name).length;
  });
  const servers = contenders.reduce((all, each) => all + each, 0);
  return servers * (rounds + 1) + (work.includes("batches") ? 1 : 0);
}

/** @returns how many answers were wrong */
function show(figures: Figures, { rounds, seconds, json, svg }: Arguments): number {
  const { results, latency } = figures;
  const measuredWith = { machine: machine(), connections: CONNECTIONS, rounds, seconds };
  console.log(`${machine()}\n${CONNECTIONS} connections, rounds of ${seconds} s: ${rounds}\n`);
  for (const [title, rows] of Object.entries(results)) console.log(table(title, rows));
  if (latency.length > 0) console.log(latencyTable(latency));
  if (figures.batches) console.log(batchTable(figures.batches));
  if (json) writeFileSync(json, `${JSON.stringify({ ...measuredWith, ...figures }, null, 2)}\n`);
  if (svg) writeFileSync(svg, `${chart(results)}\n`);
  return [...Object.values(results).flat(), ...latency].reduce((all, row) => all + row.errors, 0);
}

/** Reads the command line, or says what it takes and leaves. */
function readCommandLine(): Arguments {
  try {
    return readArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
const options = readCommandLine();
if (options.help) console.log(USAGE);
else {
  const errors = show(await measureAll(options), options);
  if (errors > 0) throw new Error(`${errors} requests failed, or were answered with nonsense`);
}
