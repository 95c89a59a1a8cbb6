/**
 * `npm run bench:watch`: requests a second of a limiter that watches itself ÷ without, and with one
 * page open ÷ none. The aims are 0.99 and 0.97.
 */
import { CONTENDERS, type Contender, FLOOR, TURNPIKE } from "./contenders.ts";
import { run } from "./rounds.ts";
import { workloads } from "./workloads.ts";

const CONNECTIONS = 64;
const [rounds = 5, seconds = 10] = process.argv.slice(2).map(Number);
const TOKEN = "bench";
const PAGE = "turnpike-page";

const without = CONTENDERS.find(({ name }) => name === TURNPIKE) as Contender;
const watching = {
  ...without,
  ...{ name: "turnpike-watched", file: "turnpike-watched.ts", hasEvents: true },
  vars: { ...without.vars, TOKEN },
};
const floor = CONTENDERS.find(({ name }) => name === FLOOR) as Contender;

for (const name of ["a", "c"] as const) {
  const workload = workloads(10_000)[name];
  const rows = await run({
    contenders: [floor, without, watching, { ...watching, name: PAGE }],
    workload,
    load: { connections: CONNECTIONS, warmUpSeconds: 2, seconds },
    rounds,
    primingSeconds: 30,
    onStep: () => {},
    onStart: async (contender, { url }) => {
      if (contender === PAGE) await openPage(url);
    },
  });
  console.log(workload.title);
  const cpuOf = (contender: string) =>
    rows.find((row) => row.contender === contender)?.requestsPerCpuSecond ?? Number.NaN;
  for (const { contender, requestsPerSecond, turnpikeToIt, errors } of rows) {
    const ratio = (1 / turnpikeToIt).toFixed(3);
    const cpu = (cpuOf(contender) / cpuOf(TURNPIKE)).toFixed(3);
    console.log(
      `${contender}: ${Math.round(requestsPerSecond)} requests/s, ${ratio} of without; a CPU second ${cpu}; ${errors} errors`,
    );
  }
}

/** Reads what the page gets until the server ends. */
async function openPage(url: string): Promise<void> {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const { body, status } = await fetch(`${url}_turnpike/live`, { headers });
  if (status !== 200 || !body) throw new Error(`the page was answered with ${status}`);
  body.pipeTo(new WritableStream()).catch(() => {});
}
