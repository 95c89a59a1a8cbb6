/**
 * `npm run bench`: every contender under every workload, as one table each and one chart.
 *
 * Ratios are what counts. Requests per second are those of this machine, shared with the load
 * generator, and a deployed Worker has others.
 */
import { writeFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { type Arguments, readArguments, USAGE } from "./arguments.ts";
import { chart, type Results } from "./chart.ts";
import { CONTENDERS } from "./contenders.ts";
import { machine, table } from "./report.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

const CONNECTIONS = 64;

/** @returns how many answers were wrong */
async function main(options: Arguments): Promise<number> {
  const { work, rounds, seconds, warmUpSeconds, clients, primingSeconds } = options;
  const known = workloads(clients);
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total}, {eta_formatted} left · {what}",
    clearOnComplete: true,
  });
  bar.start(work.length * CONTENDERS.length * (rounds + 1), 0, { what: "" });
  const results: Results = {};
  for (const name of work) {
    const workload = known[name];
    results[workload.title] = await run({
      contenders: CONTENDERS,
      workload,
      load: { connections: CONNECTIONS, warmUpSeconds, seconds },
      rounds,
      primingSeconds,
      onStep: (step) => bar.increment({ what: `(${name}) ${step}` }),
    });
  }
  bar.stop();

  console.log(`${machine()}\n${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s\n`);
  for (const [title, rows] of Object.entries(results)) console.log(table(title, rows));
  if (options.json) {
    const figures = { machine: machine(), connections: CONNECTIONS, rounds, seconds, results };
    writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  if (options.svg) writeFileSync(options.svg, `${chart(results)}\n`);
  return Object.values(results)
    .flat()
    .reduce((all, { errors }) => all + errors, 0);
}

try {
  const options = readArguments(process.argv.slice(2));
  if (options.help) console.log(USAGE);
  else if ((await main(options)) > 0) throw new Error("some answers were neither 2xx nor 429");
} catch (error) {
  const isUsage = error instanceof TypeError;
  console.error(isUsage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = 1;
}
