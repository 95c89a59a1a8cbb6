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
import { contendersOf, FAR_CONTENDERS } from "./contenders.ts";
import { LATENCY_CONTENDERS, type LatencyRow, latencies } from "./latency.ts";
import { batchTable, latencyTable, machine, table } from "./report.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

interface Figures {
  results: Results;
  latency: LatencyRow[];
  far: LatencyRow[];
  batches: BatchFigures | undefined;
}

const CONNECTIONS = 64;
/** Well below what 64 connections carry if each request takes 70 ms. */
const FAR_PER_SECOND = 200;
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
  const figures: Figures = { results: {}, latency: [], far: [], batches: undefined };
  bar.start(stepsOf(options), 0, { what: "" });
  try {
    for (const name of work) {
      const onStep = (step: string) => bar.increment({ what: `${name}: ${step}` });
      if (name === "latency") {
        figures.latency = await latencies({ workload: known.a, load, rounds, onStep });
      } else if (name === "far") {
        const far = { contenders: FAR_CONTENDERS, perSecond: FAR_PER_SECOND };
        figures.far = await latencies({ workload: known.a, load, rounds, onStep, ...far });
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
    if (name === "far") return FAR_CONTENDERS.length;
    return name === "latency" ? LATENCY_CONTENDERS.length : contendersOf(name).length;
  });
  const servers = contenders.reduce((all, each) => all + each, 0);
  return servers * (rounds + 1) + (work.includes("batches") ? 1 : 0);
}

/** @returns how many answers were wrong */
function show(figures: Figures, { rounds, seconds, json, svg }: Arguments): number {
  const { results, latency, far } = figures;
  const measuredWith = { machine: machine(), connections: CONNECTIONS, rounds, seconds };
  console.log(`${machine()}\n${CONNECTIONS} connections, rounds of ${seconds} s: ${rounds}\n`);
  for (const [work, rows] of Object.entries(results)) console.log(table(work, rows));
  const title = "Latency at half of what bare RPC takes at most, (a)";
  if (latency.length > 0) console.log(latencyTable(title, latency));
  const farTitle = "Latency with a handler of 40 ms and an owner that answers after 30 ms";
  if (far.length > 0) console.log(latencyTable(farTitle, far));
  if (figures.batches) console.log(batchTable(figures.batches));
  if (json) writeFileSync(json, `${JSON.stringify({ ...measuredWith, ...figures }, null, 2)}\n`);
  if (svg) writeFileSync(svg, `${chart(results)}\n`);
  return [...Object.values(results).flat(), ...latency, ...far].reduce(
    (all, row) => all + row.errors,
    0,
  );
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
